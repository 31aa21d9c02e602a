//! Posts that are larger than a segment may be.

use super::*;

/// What shared one with others made it as much larger than the memory that a segment is given.
#[test]
fn a_post_that_is_larger_than_a_segment_has_one_to_itself() {
    let mut world = World::new();
    let posts: Vec<Post> = [1, 1, 40, 1].into_iter().map(|n| world.post(Kind::Batch(0, n))).collect();
    let most = posts.iter().map(|post| post.record.plain).max().unwrap().max(world.config.segment_max_bytes);
    assert!(most > world.config.segment_max_bytes && posts[0].record.plain * 2 < most);
    world.round(posts);
    let process = world.process.as_mut().unwrap();
    process.writer.rotate(true);
    let mut seen = 0;
    while let Ok(segment) = process.sealed.try_recv() {
        let bytes = world.disk.read(&segment.path).unwrap();
        let plain: u64 = log::frames(&bytes)
            .map(|met| match met {
                log::frame::Met::Frame(payload) => zstd::decode_all(payload).unwrap().len() as u64,
                other => panic!("{other:?}"),
            })
            .sum();
        assert!(plain <= most, "{plain} bytes in a segment, over {most}");
        seen += 1;
    }
    assert_eq!(seen, 3, "before it, it, and what came after");
    world.end();
    world.judge();
}
