ALTER TABLE "accounts" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "api_keys" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "filters" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "jobs" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "operations" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "records" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "run_objects" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "runs" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "staged_batches" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "streams" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
DROP INDEX "filters_digest";--> statement-breakpoint
CREATE UNIQUE INDEX "filters_digest" ON "filters" USING btree ("account_id","digest",(stream_id + 0));--> statement-breakpoint
CREATE POLICY "own_account" ON "accounts" AS PERMISSIVE FOR ALL TO public USING (NOT int8ne(id, (SELECT nullif(current_setting('sluice.account_id', true), '')::bigint)));--> statement-breakpoint
CREATE POLICY "all_accounts" ON "accounts" AS PERMISSIVE FOR ALL TO public USING (NOT textne((SELECT current_setting('sluice.all_accounts', true)), 'on'));--> statement-breakpoint
CREATE POLICY "own_account" ON "api_keys" AS PERMISSIVE FOR ALL TO public USING (NOT int8ne(account_id, (SELECT nullif(current_setting('sluice.account_id', true), '')::bigint)));--> statement-breakpoint
CREATE POLICY "all_accounts" ON "api_keys" AS PERMISSIVE FOR ALL TO public USING (NOT textne((SELECT current_setting('sluice.all_accounts', true)), 'on'));--> statement-breakpoint
CREATE POLICY "own_account" ON "filters" AS PERMISSIVE FOR ALL TO public USING (NOT int8ne(account_id, (SELECT nullif(current_setting('sluice.account_id', true), '')::bigint)));--> statement-breakpoint
CREATE POLICY "all_accounts" ON "filters" AS PERMISSIVE FOR ALL TO public USING (NOT textne((SELECT current_setting('sluice.all_accounts', true)), 'on'));--> statement-breakpoint
CREATE POLICY "own_account" ON "jobs" AS PERMISSIVE FOR ALL TO public USING (NOT int8ne(account_id, (SELECT nullif(current_setting('sluice.account_id', true), '')::bigint)));--> statement-breakpoint
CREATE POLICY "all_accounts" ON "jobs" AS PERMISSIVE FOR ALL TO public USING (NOT textne((SELECT current_setting('sluice.all_accounts', true)), 'on'));--> statement-breakpoint
CREATE POLICY "own_account" ON "operations" AS PERMISSIVE FOR ALL TO public USING (NOT int8ne(account_id, (SELECT nullif(current_setting('sluice.account_id', true), '')::bigint)));--> statement-breakpoint
CREATE POLICY "all_accounts" ON "operations" AS PERMISSIVE FOR ALL TO public USING (NOT textne((SELECT current_setting('sluice.all_accounts', true)), 'on'));--> statement-breakpoint
CREATE POLICY "own_account" ON "records" AS PERMISSIVE FOR ALL TO public USING (NOT int8ne(account_id, (SELECT nullif(current_setting('sluice.account_id', true), '')::bigint)));--> statement-breakpoint
CREATE POLICY "all_accounts" ON "records" AS PERMISSIVE FOR ALL TO public USING (NOT textne((SELECT current_setting('sluice.all_accounts', true)), 'on'));--> statement-breakpoint
CREATE POLICY "own_account" ON "run_objects" AS PERMISSIVE FOR ALL TO public USING (NOT int8ne((SELECT r.account_id FROM runs r WHERE r.id = run_objects.run_id), (SELECT nullif(current_setting('sluice.account_id', true), '')::bigint)));--> statement-breakpoint
CREATE POLICY "all_accounts" ON "run_objects" AS PERMISSIVE FOR ALL TO public USING (NOT textne((SELECT current_setting('sluice.all_accounts', true)), 'on'));--> statement-breakpoint
CREATE POLICY "own_account" ON "runs" AS PERMISSIVE FOR ALL TO public USING (NOT int8ne(account_id, (SELECT nullif(current_setting('sluice.account_id', true), '')::bigint)));--> statement-breakpoint
CREATE POLICY "all_accounts" ON "runs" AS PERMISSIVE FOR ALL TO public USING (NOT textne((SELECT current_setting('sluice.all_accounts', true)), 'on'));--> statement-breakpoint
CREATE POLICY "own_account" ON "staged_batches" AS PERMISSIVE FOR ALL TO public USING (NOT int8ne(account_id, (SELECT nullif(current_setting('sluice.account_id', true), '')::bigint)));--> statement-breakpoint
CREATE POLICY "all_accounts" ON "staged_batches" AS PERMISSIVE FOR ALL TO public USING (NOT textne((SELECT current_setting('sluice.all_accounts', true)), 'on'));--> statement-breakpoint
CREATE POLICY "own_account" ON "streams" AS PERMISSIVE FOR ALL TO public USING (NOT int8ne(account_id, (SELECT nullif(current_setting('sluice.account_id', true), '')::bigint)));--> statement-breakpoint
CREATE POLICY "all_accounts" ON "streams" AS PERMISSIVE FOR ALL TO public USING (NOT textne((SELECT current_setting('sluice.all_accounts', true)), 'on'));--> statement-breakpoint
-- For the owner of the tables too, who is the role that Sluice connects as.
ALTER TABLE "accounts" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "api_keys" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "filters" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "jobs" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "operations" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "records" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "run_objects" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "runs" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "staged_batches" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "streams" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
-- What a request of one account has to know of others: whether a place is taken, and never by whom. The setting is put
-- back by hand: only a superuser may say `SET` of one that no extension declares in the head of a function.
CREATE FUNCTION destination_is_taken(place text, except_job uuid) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  before text := coalesce(current_setting('sluice.all_accounts', true), '');
  taken boolean;
BEGIN
  PERFORM set_config('sluice.all_accounts', 'on', true);
  SELECT EXISTS (
    SELECT 1 FROM jobs WHERE destination = place AND deleted_at IS NULL AND id IS DISTINCT FROM except_job
  ) INTO taken;
  PERFORM set_config('sluice.all_accounts', before, true);
  RETURN taken;
END $$;--> statement-breakpoint
CREATE FUNCTION destination_is_written_to(place text, except_job uuid) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  before text := coalesce(current_setting('sluice.all_accounts', true), '');
  written boolean;
BEGIN
  PERFORM set_config('sluice.all_accounts', 'on', true);
  -- The expression of the index runs_active_destination.
  SELECT EXISTS (
    SELECT 1 FROM runs WHERE (bucket || '/' || regexp_replace(manifest_key, '/[^/]*$', '')) = place
      AND status IN ('QUEUED', 'RUNNING') AND job_id IS DISTINCT FROM except_job
  ) INTO written;
  PERFORM set_config('sluice.all_accounts', before, true);
  RETURN written;
END $$;
