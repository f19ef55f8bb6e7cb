CREATE TABLE "totals" (
	"account_id" bigint NOT NULL,
	"stream_id" bigint NOT NULL,
	"bucket_start" timestamp with time zone NOT NULL,
	"filter_id" bigint NOT NULL,
	"operation_id" bigint NOT NULL,
	"value" numeric NOT NULL,
	"records" bigint NOT NULL,
	CONSTRAINT "totals_pk" PRIMARY KEY("account_id","stream_id","bucket_start","filter_id","operation_id")
);
--> statement-breakpoint
ALTER TABLE "totals" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
-- True for what is there, whose totals are made below; false for what a server of an older version adds from now on.
ALTER TABLE "operations" ADD COLUMN "totalled" boolean DEFAULT true NOT NULL;--> statement-breakpoint
ALTER TABLE "operations" ALTER COLUMN "totalled" SET DEFAULT false;--> statement-breakpoint
ALTER TABLE "streams" ADD COLUMN "totals_merged_xid" "xid8";--> statement-breakpoint
CREATE INDEX "operations_untotalled" ON "operations" USING btree ("account_id","stream_id") WHERE NOT totalled;--> statement-breakpoint
CREATE POLICY "own_account" ON "totals" AS PERMISSIVE FOR ALL TO public USING (NOT int8ne(account_id, (SELECT nullif(current_setting('sluice.account_id', true), '')::bigint)));--> statement-breakpoint
CREATE POLICY "all_accounts" ON "totals" AS PERMISSIVE FOR ALL TO public USING (NOT textne((SELECT current_setting('sluice.all_accounts', true)), 'on'));--> statement-breakpoint
ALTER TABLE "totals" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
INSERT INTO totals (account_id, stream_id, bucket_start, filter_id, operation_id, value, records)
SELECT account_id, stream_id, bucket_start, filter_id, operation_id, sum(value), sum(records)
FROM (
  SELECT account_id, stream_id, bucket_start, filter_id, operation_id, value, 1 AS records FROM records
  UNION ALL
  SELECT account_id, stream_id, bucket_start, filter_id, hidden_by, -value, -1 FROM records WHERE hidden_by IS NOT NULL
) changes
GROUP BY account_id, stream_id, bucket_start, filter_id, operation_id;
