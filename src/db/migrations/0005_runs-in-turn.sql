DROP INDEX "runs_waiting";--> statement-breakpoint
CREATE INDEX "runs_waiting" ON "runs" USING btree ("job_id",(started_at IS NULL),"scheduled_for","id") WHERE status = 'QUEUED';