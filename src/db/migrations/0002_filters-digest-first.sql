DROP INDEX "filters_digest";--> statement-breakpoint
CREATE UNIQUE INDEX "filters_digest" ON "filters" USING btree ("account_id","digest","stream_id");