DROP INDEX "records_live";--> statement-breakpoint
ALTER TABLE "records" ADD COLUMN "key_hash" smallint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "streams" ADD COLUMN "hashes_keys" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "streams" ADD COLUMN "keys_hashed" boolean DEFAULT false NOT NULL;--> statement-breakpoint
CREATE INDEX "records_live" ON "records" USING btree ("account_id","stream_id","bucket_start","key_hash") WHERE hidden_by IS NULL;