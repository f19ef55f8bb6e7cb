CREATE TABLE "ledgers" (
	"account_id" bigint PRIMARY KEY NOT NULL,
	"system_identifier" bigint,
	"key_hashing" text
);
--> statement-breakpoint
ALTER TABLE "ledgers" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "ledgers" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "staged_batches" ADD COLUMN "bucket_places" integer[] DEFAULT '{}' NOT NULL;--> statement-breakpoint
CREATE POLICY "own_account" ON "ledgers" AS PERMISSIVE FOR ALL TO public USING (NOT int8ne(account_id, (SELECT nullif(current_setting('sluice.account_id', true), '')::bigint)));--> statement-breakpoint
CREATE POLICY "all_accounts" ON "ledgers" AS PERMISSIVE FOR ALL TO public USING (NOT textne((SELECT current_setting('sluice.all_accounts', true)), 'on'));--> statement-breakpoint
INSERT INTO "ledgers" ("account_id") SELECT DISTINCT "account_id" FROM "streams";
