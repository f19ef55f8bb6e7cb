CREATE SEQUENCE "public"."account_ids" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1;--> statement-breakpoint
CREATE SEQUENCE "public"."filter_ids" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 32;--> statement-breakpoint
CREATE SEQUENCE "public"."operation_ids" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1;--> statement-breakpoint
CREATE SEQUENCE "public"."stream_ids" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1;--> statement-breakpoint
CREATE TABLE "accounts" (
	"id" bigint PRIMARY KEY DEFAULT nextval('account_ids') NOT NULL,
	"name" text NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "api_keys" (
	"id" uuid PRIMARY KEY NOT NULL,
	"account_id" bigint NOT NULL,
	"name" text NOT NULL,
	"prefix" text NOT NULL,
	"secret_sha256" "bytea" NOT NULL,
	"scopes" text[] NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"last_used_at" timestamp with time zone,
	"revoked_at" timestamp with time zone
);
--> statement-breakpoint
CREATE TABLE "filters" (
	"account_id" bigint NOT NULL,
	"stream_id" bigint NOT NULL,
	"id" bigint DEFAULT nextval('filter_ids') NOT NULL,
	"digest" "bytea" NOT NULL,
	"dimensions" jsonb NOT NULL,
	CONSTRAINT "filters_account_id_stream_id_id_pk" PRIMARY KEY("account_id","stream_id","id")
);
--> statement-breakpoint
CREATE TABLE "jobs" (
	"id" uuid PRIMARY KEY NOT NULL,
	"account_id" bigint NOT NULL,
	"name" text NOT NULL,
	"enabled" boolean NOT NULL,
	"settings" jsonb NOT NULL,
	"destination" text NOT NULL,
	"version" integer DEFAULT 1 NOT NULL,
	"next_run_at" timestamp with time zone,
	"created_at" timestamp with time zone NOT NULL,
	"updated_at" timestamp with time zone NOT NULL,
	"deleted_at" timestamp with time zone
);
--> statement-breakpoint
CREATE TABLE "operations" (
	"account_id" bigint NOT NULL,
	"id" bigint DEFAULT nextval('operation_ids') NOT NULL,
	"stream_id" bigint NOT NULL,
	"kind" text NOT NULL,
	"received_at" timestamp with time zone NOT NULL,
	"xid" "xid8" NOT NULL,
	"inserted_records" bigint NOT NULL,
	"hidden_records" bigint NOT NULL,
	"idempotency_key" text,
	"content_sha256" "bytea" NOT NULL,
	CONSTRAINT "operations_account_id_id_pk" PRIMARY KEY("account_id","id")
);
--> statement-breakpoint
CREATE TABLE "records" (
	"account_id" bigint NOT NULL,
	"stream_id" bigint NOT NULL,
	"bucket_start" timestamp with time zone NOT NULL,
	"filter_id" bigint NOT NULL,
	"element" text collate "C" NOT NULL,
	"value" numeric NOT NULL,
	"operation_id" bigint NOT NULL,
	"hidden_by" bigint
);
--> statement-breakpoint
CREATE TABLE "run_objects" (
	"run_id" uuid NOT NULL,
	"key" text NOT NULL,
	"ordinal" integer NOT NULL,
	"rows" bigint NOT NULL,
	"bytes" bigint NOT NULL,
	"sha256" text NOT NULL,
	"written_at" timestamp with time zone,
	CONSTRAINT "run_objects_run_id_key_pk" PRIMARY KEY("run_id","key")
);
--> statement-breakpoint
CREATE TABLE "runs" (
	"id" uuid PRIMARY KEY NOT NULL,
	"account_id" bigint NOT NULL,
	"job_id" uuid NOT NULL,
	"trigger" text NOT NULL,
	"status" text NOT NULL,
	"scheduled_for" timestamp with time zone NOT NULL,
	"window_start" timestamp with time zone NOT NULL,
	"window_end" timestamp with time zone NOT NULL,
	"settings" jsonb NOT NULL,
	"bucket" text NOT NULL,
	"manifest_key" text NOT NULL,
	"watermark" text,
	"watermark_at" timestamp with time zone,
	"attempt" integer DEFAULT 0 NOT NULL,
	"not_before" timestamp with time zone,
	"started_at" timestamp with time zone,
	"finished_at" timestamp with time zone,
	"rows_written" bigint DEFAULT 0 NOT NULL,
	"bytes_written" bigint DEFAULT 0 NOT NULL,
	"error" jsonb,
	"change" integer DEFAULT 1 NOT NULL,
	"lease_token" uuid,
	"lease_until" timestamp with time zone,
	"created_at" timestamp with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "streams" (
	"account_id" bigint NOT NULL,
	"id" bigint DEFAULT nextval('stream_ids') NOT NULL,
	"name" text collate "C" NOT NULL,
	"granularity" text NOT NULL,
	"dimensions" text[] NOT NULL,
	"created_at" timestamp with time zone NOT NULL,
	"created_xid" "xid8" NOT NULL,
	"deleted_at" timestamp with time zone,
	"deleted_xid" "xid8",
	CONSTRAINT "streams_account_id_id_pk" PRIMARY KEY("account_id","id")
);
--> statement-breakpoint
ALTER TABLE "api_keys" ADD CONSTRAINT "api_keys_account_id_accounts_id_fk" FOREIGN KEY ("account_id") REFERENCES "public"."accounts"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "jobs" ADD CONSTRAINT "jobs_account_id_accounts_id_fk" FOREIGN KEY ("account_id") REFERENCES "public"."accounts"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "run_objects" ADD CONSTRAINT "run_objects_run_id_runs_id_fk" FOREIGN KEY ("run_id") REFERENCES "public"."runs"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "runs" ADD CONSTRAINT "runs_account_id_accounts_id_fk" FOREIGN KEY ("account_id") REFERENCES "public"."accounts"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "runs" ADD CONSTRAINT "runs_job_id_jobs_id_fk" FOREIGN KEY ("job_id") REFERENCES "public"."jobs"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE UNIQUE INDEX "accounts_name" ON "accounts" USING btree ("name");--> statement-breakpoint
CREATE UNIQUE INDEX "api_keys_secret" ON "api_keys" USING btree ("secret_sha256");--> statement-breakpoint
CREATE INDEX "api_keys_by_account" ON "api_keys" USING btree ("account_id","created_at","id");--> statement-breakpoint
CREATE UNIQUE INDEX "filters_digest" ON "filters" USING btree ("account_id","stream_id","digest");--> statement-breakpoint
CREATE UNIQUE INDEX "jobs_live_name" ON "jobs" USING btree ("account_id","name") WHERE deleted_at IS NULL;--> statement-breakpoint
CREATE UNIQUE INDEX "jobs_live_destination" ON "jobs" USING btree ("destination") WHERE deleted_at IS NULL;--> statement-breakpoint
CREATE INDEX "jobs_due" ON "jobs" USING btree ("next_run_at") WHERE next_run_at IS NOT NULL;--> statement-breakpoint
CREATE INDEX "jobs_by_account" ON "jobs" USING btree ("account_id","created_at","id");--> statement-breakpoint
CREATE UNIQUE INDEX "operations_idempotency_key" ON "operations" USING btree ("account_id","idempotency_key") WHERE idempotency_key IS NOT NULL;--> statement-breakpoint
CREATE INDEX "operations_by_stream" ON "operations" USING btree ("account_id","stream_id","id");--> statement-breakpoint
CREATE INDEX "operations_by_xid" ON "operations" USING btree ("account_id","xid");--> statement-breakpoint
CREATE INDEX "records_live" ON "records" USING btree ("account_id","stream_id","bucket_start") WHERE hidden_by IS NULL;--> statement-breakpoint
CREATE INDEX "records_hidden" ON "records" USING btree ("account_id","stream_id","hidden_by") WHERE hidden_by IS NOT NULL;--> statement-breakpoint
CREATE UNIQUE INDEX "runs_slot" ON "runs" USING btree ("job_id","scheduled_for") WHERE trigger <> 'MANUAL';--> statement-breakpoint
CREATE UNIQUE INDEX "runs_held" ON "runs" USING btree ("job_id") WHERE lease_token IS NOT NULL;--> statement-breakpoint
CREATE INDEX "runs_waiting" ON "runs" USING btree ("job_id","scheduled_for","id") WHERE status = 'QUEUED';--> statement-breakpoint
CREATE INDEX "runs_active" ON "runs" USING btree ("account_id") WHERE status IN ('QUEUED', 'RUNNING');--> statement-breakpoint
CREATE INDEX "runs_by_account" ON "runs" USING btree ("account_id","created_at","id");--> statement-breakpoint
CREATE INDEX "runs_by_job" ON "runs" USING btree ("job_id","created_at","id");--> statement-breakpoint
CREATE INDEX "runs_by_manifest" ON "runs" USING btree ("bucket","manifest_key");--> statement-breakpoint
CREATE INDEX "runs_by_finish" ON "runs" USING btree ("finished_at");--> statement-breakpoint
CREATE UNIQUE INDEX "streams_live_name" ON "streams" USING btree ("account_id","name") WHERE deleted_at IS NULL;