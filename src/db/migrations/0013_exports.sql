ALTER TABLE "jobs" ADD COLUMN "warnings" text[] DEFAULT '{}' NOT NULL;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "warnings" text[] DEFAULT '{}' NOT NULL;