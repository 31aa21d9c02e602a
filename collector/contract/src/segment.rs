//! Names of segments: parts of the traffic that are judged apart, as the user names them.
//!
//! A segment is what an item has one value of: who asked ([`CLIENT`]), how long its text is ([`LENGTH`]), or any categorical
//! feature by its own name. The most frequent values are told apart; the others are one value ([`OTHER`]), and items without
//! a value are one more ([`NONE`]), so that the values of a segment always add up to the whole.

/// The client that asked: the first twelve hex digits of the SHA-256 of its name as it is stored, because verdicts outlive a
/// client whose rows are erased.
pub const CLIENT: &str = "client";
/// Characters of a text in five buckets.
pub const LENGTH: &str = "text.length_bucket";
/// Where the buckets of [`LENGTH`] end, in characters; fixed, so that a bucket means the same for every model and time.
pub const LENGTH_ENDS: [u32; 4] = [32, 128, 512, 2_048];
/// What the label of an answer says; answers are judged by it once they have one.
pub const TRUTH: &str = "truth";
/// Stands for the whole, where it is judged beside its parts.
pub const ALL: &str = "(all)";
/// Stands for all values that are not told apart.
pub const OTHER: &str = "(other)";
/// Stands for items without a value.
pub const NONE: &str = "(none)";

/// Names of the buckets of [`LENGTH`], shortest first.
#[must_use]
pub fn length_buckets() -> Vec<String> {
    let starts = std::iter::once(0).chain(LENGTH_ENDS);
    let mut names: Vec<String> =
        starts.zip(LENGTH_ENDS).map(|(start, end)| format!("{start}-{} characters", end - 1)).collect();
    names.extend(LENGTH_ENDS.last().map(|end| format!("{end} characters or more")));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_touch_and_do_not_overlap() {
        let names = length_buckets();
        assert_eq!(names.len(), LENGTH_ENDS.len() + 1);
        assert_eq!((names[0].as_str(), names[1].as_str()), ("0-31 characters", "32-127 characters"));
        assert_eq!(names[4], "2048 characters or more");
    }
}
