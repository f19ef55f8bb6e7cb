CREATE TABLE "backfills" (
	"id" uuid PRIMARY KEY NOT NULL,
	"account_id" bigint NOT NULL,
	"job_id" uuid NOT NULL,
	"status" text NOT NULL,
	"error" jsonb,
	"span_start" timestamp with time zone NOT NULL,
	"span_end" timestamp with time zone NOT NULL,
	"newest_first" boolean NOT NULL,
	"reprocess" text NOT NULL,
	"settings" jsonb NOT NULL,
	"next_slot" timestamp with time zone,
	"retry_slot" timestamp with time zone,
	"active_runs" uuid[] DEFAULT '{}' NOT NULL,
	"windows" integer NOT NULL,
	"delivered" integer DEFAULT 0 NOT NULL,
	"skipped" integer DEFAULT 0 NOT NULL,
	"failed" integer DEFAULT 0 NOT NULL,
	"failed_in_row" integer DEFAULT 0 NOT NULL,
	"rows" bigint DEFAULT 0 NOT NULL,
	"bytes" bigint DEFAULT 0 NOT NULL,
	"change" integer DEFAULT 1 NOT NULL,
	"created_at" timestamp with time zone NOT NULL,
	"finished_at" timestamp with time zone
);
--> statement-breakpoint
ALTER TABLE "backfills" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "backfills" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "corrections" (
	"account_id" bigint NOT NULL,
	"stream_id" bigint NOT NULL,
	"operation_id" bigint NOT NULL,
	"xid" "xid8" NOT NULL,
	"first_bucket" timestamp with time zone,
	"last_bucket" timestamp with time zone,
	"found_at" timestamp with time zone NOT NULL,
	CONSTRAINT "corrections_account_id_operation_id_pk" PRIMARY KEY("account_id","operation_id")
);
--> statement-breakpoint
ALTER TABLE "corrections" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "corrections" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "ledger_cursors" (
	"account_id" bigint PRIMARY KEY NOT NULL,
	"scanned" text NOT NULL,
	"scanned_epoch" text NOT NULL,
	"scanned_at" timestamp with time zone NOT NULL,
	"scan_at" timestamp with time zone NOT NULL,
	"every_seconds" integer DEFAULT 5 NOT NULL,
	"setbacks" integer DEFAULT 0 NOT NULL,
	"history_from" timestamp with time zone
);
--> statement-breakpoint
ALTER TABLE "ledger_cursors" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "ledger_cursors" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "ledger_moments" (
	"account_id" bigint NOT NULL,
	"at" timestamp with time zone NOT NULL,
	"snapshot" text NOT NULL,
	"epoch" text NOT NULL,
	CONSTRAINT "ledger_moments_account_id_at_pk" PRIMARY KEY("account_id","at")
);
--> statement-breakpoint
ALTER TABLE "ledger_moments" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "ledger_moments" FORCE ROW LEVEL SECURITY;--> statement-breakpoint
DROP INDEX "runs_slot";--> statement-breakpoint
DROP INDEX "runs_waiting";--> statement-breakpoint
ALTER TABLE "deliveries" ADD COLUMN "watermark_epoch" text;--> statement-breakpoint
ALTER TABLE "deliveries" ADD COLUMN "complete" boolean;--> statement-breakpoint
ALTER TABLE "deliveries" ADD COLUMN "touched_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "deliveries" ADD COLUMN "check_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "deliveries" ADD COLUMN "checking" uuid;--> statement-breakpoint
ALTER TABLE "deliveries" ADD COLUMN "stale_since" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "deliveries" ADD COLUMN "failures" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "jobs" ADD COLUMN "restates_since" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "jobs" ADD COLUMN "settle_seconds" integer DEFAULT 3600 NOT NULL;--> statement-breakpoint
-- Jobs that exist are not restated: their owners do not expect files to change.
DO $$ BEGIN
  PERFORM set_config('sluice.all_accounts', 'on', true);
  UPDATE "jobs" SET "settings" = "settings" || '{"restatement": "NONE"}';
  PERFORM set_config('sluice.all_accounts', '', true);
END $$;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "turn" smallint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "reason" text;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "changes" jsonb;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "complete" boolean;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "wait_until" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "backfill_id" uuid;--> statement-breakpoint
ALTER TABLE "deliveries" ADD COLUMN "checked_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "ledgers" ADD COLUMN "epoch_start" "xid8";--> statement-breakpoint
ALTER TABLE "streams" ADD COLUMN "purged_before" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "backfills" ADD CONSTRAINT "backfills_job_id_jobs_id_fk" FOREIGN KEY ("job_id") REFERENCES "public"."jobs"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE UNIQUE INDEX "backfills_unended" ON "backfills" USING btree ("job_id") WHERE status IN ('RUNNING', 'PAUSED');--> statement-breakpoint
CREATE INDEX "backfills_by_account" ON "backfills" USING btree ("account_id","created_at","id");--> statement-breakpoint
CREATE INDEX "backfills_by_job" ON "backfills" USING btree ("job_id","created_at","id");--> statement-breakpoint
CREATE INDEX "corrections_by_stream" ON "corrections" USING btree ("account_id","stream_id","last_bucket");--> statement-breakpoint
CREATE INDEX "ledger_cursors_due" ON "ledger_cursors" USING btree ("scan_at");--> statement-breakpoint
CREATE INDEX "operations_complete" ON "operations" USING btree ("account_id","stream_id","complete_through") WHERE complete_through IS NOT NULL;--> statement-breakpoint
CREATE INDEX "deliveries_by_end" ON "deliveries" USING btree ("account_id","whole_until");--> statement-breakpoint
CREATE INDEX "deliveries_failing" ON "deliveries" USING btree ("job_id") WHERE failures > 0;--> statement-breakpoint
CREATE INDEX "deliveries_to_check" ON "deliveries" USING btree ("check_at") WHERE check_at IS NOT NULL;--> statement-breakpoint
CREATE INDEX "deliveries_unchecked" ON "deliveries" USING btree ("job_id") WHERE touched_at IS NOT NULL AND check_at IS NULL;--> statement-breakpoint
CREATE INDEX "deliveries_stale" ON "deliveries" USING btree ("job_id") WHERE stale_since IS NOT NULL;--> statement-breakpoint
CREATE UNIQUE INDEX "runs_restating" ON "runs" USING btree ("job_id","bucket","manifest_key") WHERE trigger = 'RESTATEMENT' AND status IN ('QUEUED', 'RUNNING');--> statement-breakpoint
CREATE INDEX "runs_awaited" ON "runs" USING btree ("account_id") WHERE wait_until IS NOT NULL AND status = 'QUEUED';--> statement-breakpoint
CREATE INDEX "runs_by_backfill" ON "runs" USING btree ("backfill_id","scheduled_for") WHERE backfill_id IS NOT NULL;--> statement-breakpoint
CREATE UNIQUE INDEX "runs_slot" ON "runs" USING btree ("job_id","scheduled_for") WHERE trigger IN ('CRON', 'ONE_OFF', 'IMMEDIATE');--> statement-breakpoint
CREATE INDEX "runs_waiting" ON "runs" USING btree ("job_id",(started_at IS NULL),"turn","scheduled_for","id") WHERE status = 'QUEUED';--> statement-breakpoint
CREATE POLICY "own_account" ON "backfills" AS PERMISSIVE FOR ALL TO public USING (NOT int8ne(account_id, (SELECT nullif(current_setting('sluice.account_id', true), '')::bigint)));--> statement-breakpoint
CREATE POLICY "all_accounts" ON "backfills" AS PERMISSIVE FOR ALL TO public USING (NOT textne((SELECT current_setting('sluice.all_accounts', true)), 'on'));--> statement-breakpoint
CREATE POLICY "own_account" ON "corrections" AS PERMISSIVE FOR ALL TO public USING (NOT int8ne(account_id, (SELECT nullif(current_setting('sluice.account_id', true), '')::bigint)));--> statement-breakpoint
CREATE POLICY "all_accounts" ON "corrections" AS PERMISSIVE FOR ALL TO public USING (NOT textne((SELECT current_setting('sluice.all_accounts', true)), 'on'));--> statement-breakpoint
CREATE POLICY "own_account" ON "ledger_cursors" AS PERMISSIVE FOR ALL TO public USING (NOT int8ne(account_id, (SELECT nullif(current_setting('sluice.account_id', true), '')::bigint)));--> statement-breakpoint
CREATE POLICY "all_accounts" ON "ledger_cursors" AS PERMISSIVE FOR ALL TO public USING (NOT textne((SELECT current_setting('sluice.all_accounts', true)), 'on'));--> statement-breakpoint
CREATE POLICY "own_account" ON "ledger_moments" AS PERMISSIVE FOR ALL TO public USING (NOT int8ne(account_id, (SELECT nullif(current_setting('sluice.account_id', true), '')::bigint)));--> statement-breakpoint
CREATE POLICY "all_accounts" ON "ledger_moments" AS PERMISSIVE FOR ALL TO public USING (NOT textne((SELECT current_setting('sluice.all_accounts', true)), 'on'));