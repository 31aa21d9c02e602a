-- How a request was served: what ran it, how much of its batch was padding, whether company may have changed its answer, and
-- whether the answer had been given before.
ALTER TABLE observations ADD COLUMN IF NOT EXISTS batch_variant Bool DEFAULT false;
ALTER TABLE observations ADD COLUMN IF NOT EXISTS from_cache Bool DEFAULT false;
ALTER TABLE observations ADD COLUMN IF NOT EXISTS padding Float64 DEFAULT 0;
ALTER TABLE observations ADD COLUMN IF NOT EXISTS provider LowCardinality(String) DEFAULT '';
