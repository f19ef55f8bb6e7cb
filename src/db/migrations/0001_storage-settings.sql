-- records has no primary key (nothing refers to one ledger row), so replication needs the whole row as identity.
ALTER TABLE "records" REPLICA IDENTITY FULL;--> statement-breakpoint
-- A running export renews its lease and its progress once a second: room on the page keeps these HOT updates.
ALTER TABLE "runs" SET (fillfactor = 70);
