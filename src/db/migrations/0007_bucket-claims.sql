CREATE TABLE "bucket_claims" (
	"bucket" text PRIMARY KEY NOT NULL,
	"account_id" bigint NOT NULL,
	"claimed_at" timestamp with time zone NOT NULL
);
--> statement-breakpoint
ALTER TABLE "bucket_claims" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "bucket_claims" ADD CONSTRAINT "bucket_claims_account_id_accounts_id_fk" FOREIGN KEY ("account_id") REFERENCES "public"."accounts"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE POLICY "own_account" ON "bucket_claims" AS PERMISSIVE FOR ALL TO public USING (NOT int8ne(account_id, (SELECT nullif(current_setting('sluice.account_id', true), '')::bigint)));--> statement-breakpoint
CREATE POLICY "all_accounts" ON "bucket_claims" AS PERMISSIVE FOR ALL TO public USING (NOT textne((SELECT current_setting('sluice.all_accounts', true)), 'on'));--> statement-breakpoint
ALTER TABLE "bucket_claims" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
-- What was written before there were claims: to whoever wrote there first.
INSERT INTO bucket_claims (bucket, account_id, claimed_at)
SELECT DISTINCT ON (bucket) bucket, account_id, finished_at FROM runs WHERE status = 'SUCCEEDED' ORDER BY bucket, finished_at;--> statement-breakpoint
CREATE FUNCTION bucket_is_of_another(wanted text, account bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  before text := coalesce(current_setting('sluice.all_accounts', true), '');
  taken boolean;
BEGIN
  PERFORM set_config('sluice.all_accounts', 'on', true);
  SELECT EXISTS (SELECT 1 FROM bucket_claims WHERE bucket = wanted AND account_id <> account) INTO taken;
  PERFORM set_config('sluice.all_accounts', before, true);
  RETURN taken;
END $$;
