//! Work on a segment that ends badly.

use super::*;

/// Its segment was left lying until the next start, and the heartbeats of those behind it promised what was in it.
#[test]
fn a_segment_that_cannot_be_worked_on_is_tried_again_before_what_comes_after_it_is_promised() {
    let mut world = World::new();
    for _ in 0..3 {
        let post = world.post(Kind::Batch(0, 1));
        world.round(vec![post]);
        world.process.as_mut().unwrap().writer.rotate(true);
    }
    world.database.script(&[Fate::Broken, Fate::Done, Fate::Broken]);
    let Process { writer, inserter, sealed, .. } = world.process.take().unwrap();
    drop(writer);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let work = inserter.run(sealed);
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(3600), work).await }).unwrap();
    let stored = world.database.times(Table::Observations);
    assert!(world.acked.iter().flat_map(|post| &post.ids).all(|id| stored.contains_key(id)), "{stored:?}");
    assert_eq!(world.database.heartbeats(), 3);
    let left = world.disk.list(Path::new("/log")).unwrap();
    assert!(!left.iter().any(|path| path.extension().is_some_and(|e| e == "segment")), "{left:?}");
    world.nothing_is_doubled();
}
