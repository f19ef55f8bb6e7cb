CREATE UNLOGGED TABLE "staged_batches" (
	"account_id" bigint NOT NULL,
	"request_id" uuid NOT NULL,
	"number" integer NOT NULL,
	"staged_at" timestamp with time zone DEFAULT now() NOT NULL,
	"first_index" bigint NOT NULL,
	"bucket_starts" timestamp with time zone[] NOT NULL,
	"filter_places" integer[] NOT NULL,
	"elements" text[] NOT NULL,
	"amounts" numeric[] NOT NULL,
	"filter_digests" "bytea"[] NOT NULL,
	"filter_dimensions" jsonb[] NOT NULL,
	CONSTRAINT "staged_batches_account_id_request_id_number_pk" PRIMARY KEY("account_id","request_id","number")
);
--> statement-breakpoint
-- Read once and soon deleted: compressing them would cost more than it saves.
ALTER TABLE "staged_batches" ALTER COLUMN "bucket_starts" SET STORAGE EXTERNAL, ALTER COLUMN "filter_places" SET STORAGE EXTERNAL, ALTER COLUMN "elements" SET STORAGE EXTERNAL, ALTER COLUMN "amounts" SET STORAGE EXTERNAL, ALTER COLUMN "filter_digests" SET STORAGE EXTERNAL, ALTER COLUMN "filter_dimensions" SET STORAGE EXTERNAL;
