-- How far a shadow's answer without a class lies from the primary's: of numbers the absolute and the relative difference, of
-- vectors one less their cosine, in both columns. What the difference may be is the analyzer's to say. `compared` is empty of classes
-- and of answers that are not compared.
ALTER TABLE comparisons ADD COLUMN IF NOT EXISTS compared LowCardinality(String) DEFAULT '';
ALTER TABLE comparisons ADD COLUMN IF NOT EXISTS absolute_gap Float64 DEFAULT 0;
ALTER TABLE comparisons ADD COLUMN IF NOT EXISTS relative_gap Float64 DEFAULT 0;
