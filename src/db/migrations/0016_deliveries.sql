CREATE TABLE "deliveries" (
	"id" uuid PRIMARY KEY NOT NULL,
	"account_id" bigint NOT NULL,
	"job_id" uuid NOT NULL,
	"bucket" text NOT NULL,
	"manifest_key" text NOT NULL,
	"slot" timestamp with time zone NOT NULL,
	"window_start" timestamp with time zone NOT NULL,
	"window_end" timestamp with time zone NOT NULL,
	"whole_until" timestamp with time zone NOT NULL,
	"owed_until" timestamp with time zone NOT NULL,
	"date_start" date NOT NULL,
	"date_whole_until" date NOT NULL,
	"date_owed_until" date NOT NULL,
	"by_slot" boolean NOT NULL,
	"output_sha256" "bytea" NOT NULL,
	"last_revision" integer DEFAULT 0 NOT NULL,
	"revision" integer DEFAULT 0 NOT NULL,
	"run_id" uuid,
	"watermark" text,
	"watermark_at" timestamp with time zone,
	"delivered_at" timestamp with time zone
);
--> statement-breakpoint
ALTER TABLE "deliveries" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "deliveries" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
-- Rows change with each run of their window.
ALTER TABLE "deliveries" SET (fillfactor = 80);--> statement-breakpoint
ALTER TABLE "jobs" ADD COLUMN "output_sha256" "bytea";--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "revision" integer;--> statement-breakpoint
ALTER TABLE "deliveries" ADD CONSTRAINT "deliveries_job_id_jobs_id_fk" FOREIGN KEY ("job_id") REFERENCES "public"."jobs"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE UNIQUE INDEX "deliveries_place" ON "deliveries" USING btree ("bucket","manifest_key","job_id");--> statement-breakpoint
CREATE INDEX "deliveries_by_job" ON "deliveries" USING btree ("job_id","window_end","window_start");--> statement-breakpoint
CREATE INDEX "deliveries_by_account" ON "deliveries" USING btree ("account_id","window_end","id");--> statement-breakpoint
CREATE POLICY "own_account" ON "deliveries" AS PERMISSIVE FOR ALL TO public USING (NOT int8ne(account_id, (SELECT nullif(current_setting('sluice.account_id', true), '')::bigint)));--> statement-breakpoint
CREATE POLICY "all_accounts" ON "deliveries" AS PERMISSIVE FOR ALL TO public USING (NOT textne((SELECT current_setting('sluice.all_accounts', true)), 'on'));