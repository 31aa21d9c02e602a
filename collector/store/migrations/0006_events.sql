-- Events come through the collector's log, which forgets what it has inserted here: they have to be on the disk.
ALTER TABLE events MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
