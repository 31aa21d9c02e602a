//! Which card CUDA means by a number. NVML counts all cards, in the order of their bus; CUDA counts those that
//! `CUDA_VISIBLE_DEVICES` names, in its order, and by itself the fastest first, unless `CUDA_DEVICE_ORDER` says otherwise
//! (<https://docs.nvidia.com/cuda/cuda-c-programming-guide/index.html#env-vars>).
//!
//! What cannot be known is not guessed: cards of several kinds in CUDA's own order have no numbers here.

/// What in the environment decides about CUDA's numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbering {
    /// `CUDA_VISIBLE_DEVICES`.
    visible: Option<String>,
    /// Whether `CUDA_DEVICE_ORDER` is `PCI_BUS_ID`.
    by_bus: bool,
}

impl Numbering {
    /// As this process was started.
    #[must_use]
    pub fn of_environment() -> Self {
        let said = |name: &str| std::env::var(name).ok();
        Self::new(said("CUDA_VISIBLE_DEVICES"), said("CUDA_DEVICE_ORDER").as_deref())
    }

    fn new(visible: Option<String>, order: Option<&str>) -> Self {
        Self { visible, by_bus: order == Some("PCI_BUS_ID") }
    }

    #[cfg(test)]
    pub(super) fn visible(visible: &str) -> Self {
        Self::new(Some(visible.to_owned()), None)
    }

    /// NVML's numbers of the cards that CUDA sees, in CUDA's order; `None` where that cannot be known. A card is its UUID
    /// and its name.
    #[must_use]
    pub fn cards(&self, all: &[(&str, &str)]) -> Option<Vec<usize>> {
        // equal cards stand in the order of their bus either way
        let known = self.by_bus || all.windows(2).all(|pair| pair[0].1 == pair[1].1);
        let Some(visible) = &self.visible else {
            return known.then(|| (0..all.len()).collect());
        };
        let mut seen = Vec::new();
        for entry in visible.split(',').map(str::trim) {
            let card = match entry.parse::<usize>() {
                Ok(_) if !known => return None,
                Ok(number) => Some(number).filter(|number| *number < all.len()),
                Err(_) => by_uuid(entry, all),
            };
            // CUDA sees nothing from the first name on that is none
            let Some(card) = card.filter(|card| !seen.contains(card)) else { break };
            seen.push(card);
        }
        Some(seen)
    }
}

/// The one card whose UUID begins so. A slice of a card (`MIG-…`) is none.
fn by_uuid(begins: &str, all: &[(&str, &str)]) -> Option<usize> {
    let mut found = (0..all.len()).filter(|&n| begins.starts_with("GPU-") && all[n].0.starts_with(begins));
    found.next().filter(|_| found.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EQUAL: [(&str, &str); 3] = [("GPU-11aa", "H200"), ("GPU-11bb", "H200"), ("GPU-22cc", "H200")];
    const MIXED: [(&str, &str); 2] = [("GPU-11aa", "T4"), ("GPU-22bb", "H200")];

    #[track_caller]
    fn check(all: &[(&str, &str)], visible: Option<&str>, order: Option<&str>, expected: Option<&[usize]>) {
        let found = Numbering::new(visible.map(str::to_owned), order).cards(all);
        assert_eq!(found.as_deref(), expected, "{visible:?} {order:?}");
    }

    #[test]
    fn cuda_numbers_what_it_sees_in_the_order_that_it_was_told() {
        check(&EQUAL, None, None, Some(&[0, 1, 2]));
        check(&EQUAL, Some("2,0"), None, Some(&[2, 0]));
        check(&EQUAL, Some("GPU-22, GPU-11b"), None, Some(&[2, 1]));
        check(&EQUAL, Some(""), None, Some(&[]));
        check(&[], None, None, Some(&[]));
    }

    #[test]
    fn from_the_first_name_on_that_is_none_it_sees_nothing() {
        for (visible, expected) in
            [("1,7,0", &[1][..]), ("-1", &[]), ("GPU-11", &[]), ("1,1", &[1]), ("NoDevFiles", &[]), ("MIG-22cc", &[])]
        {
            check(&EQUAL, Some(visible), None, Some(expected));
        }
    }

    #[test]
    fn cards_of_several_kinds_have_numbers_only_where_somebody_says_which() {
        check(&MIXED, None, None, None);
        check(&MIXED, Some("0"), None, None);
        check(&MIXED, None, Some("PCI_BUS_ID"), Some(&[0, 1]));
        check(&MIXED, Some("1"), Some("PCI_BUS_ID"), Some(&[1]));
        check(&MIXED, Some("GPU-2"), None, Some(&[1]));
        check(&MIXED[..1], None, Some("FASTEST_FIRST"), Some(&[0]));
    }
}
