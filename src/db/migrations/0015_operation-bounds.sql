ALTER TABLE "operations" ADD COLUMN "first_bucket" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "operations" ADD COLUMN "last_bucket" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "operations" ADD COLUMN "complete_through" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "operations" ADD COLUMN "reverts" bigint;--> statement-breakpoint
ALTER TABLE "operations" ADD COLUMN "scope" jsonb;