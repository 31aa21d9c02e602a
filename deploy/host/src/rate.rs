//! Requests a second, a client: a token bucket for each (`governor`), in a map that forgets the least recently used
//! (`moka`), so that a thousand addresses cost no more than the map's bound.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, RateLimiter};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use serde::{Deserialize, Serialize};

use crate::config::Faults;

/// A rate, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawQuota {
    /// Requests a second in the long run; may be a fraction.
    pub per_second: f64,
    /// Requests at once; by default those of a second, at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
}

/// A rate, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    period: Duration,
    burst: NonZeroU32,
}

/// A bucket refills no faster and no slower than this, requests a second.
const PER_SECOND: std::ops::RangeInclusive<f64> = 0.000_1..=1e6;

impl Quota {
    /// The rate, if it is one; a fault is noted under `key`.
    pub fn check(raw: &RawQuota, key: &str, faults: &mut Faults) -> Option<Self> {
        let within = PER_SECOND.contains(&raw.per_second);
        faults.check(within, format!("{key}.per_second"), "must be from 0.0001 to 1000000");
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be small and positive")]
        let burst =
            NonZeroU32::new(raw.burst.unwrap_or(if within { raw.per_second.clamp(1.0, 1e6).ceil() as u32 } else { 1 }));
        faults.check(burst.is_some(), format!("{key}.burst"), "must be at least 1");
        let period = within.then(|| Duration::from_secs_f64(1.0 / raw.per_second))?;
        Some(Self { period, burst: burst? })
    }

    fn bucket(self) -> DefaultDirectRateLimiter {
        let quota = governor::Quota::with_period(self.period)
            .unwrap_or_else(|| governor::Quota::per_second(self.burst))
            .allow_burst(self.burst);
        RateLimiter::direct(quota)
    }
}

/// Whose bucket it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    /// A key's or a token's.
    Named(Arc<str>),
    /// An address's; an IPv6 host owns 64 bits of addresses, so they count as one.
    Peer(IpAddr),
}

impl Client {
    pub(crate) fn peer(address: IpAddr) -> Self {
        Self::Peer(match address.to_canonical() {
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
            v4 => v4,
        })
    }
}

/// The buckets of all clients.
#[derive(Debug)]
pub(crate) struct Limiter {
    buckets: Cache<Client, Arc<(Quota, DefaultDirectRateLimiter)>>,
}

impl Limiter {
    /// At most so many buckets.
    pub(crate) fn new(max_clients: u64) -> Self {
        // the default policy keeps what is asked for often and would not admit a newcomer at all
        Self { buckets: Cache::builder().max_capacity(max_clients).eviction_policy(EvictionPolicy::lru()).build() }
    }

    /// Takes a token of this client's bucket.
    ///
    /// # Errors
    /// The time until there is one.
    pub(crate) fn take(&self, client: Client, quota: Quota) -> Result<(), Duration> {
        let fresh = || Arc::new((quota, quota.bucket()));
        let entry = self.buckets.entry(client).or_insert_with_if(fresh, |known| known.0 != quota);
        let bucket = &entry.value().1;
        bucket.check().map_err(|not_until| not_until.wait_time_from(DefaultClock::default().now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(per_second: f64, burst: u32) -> Quota {
        Quota::check(&RawQuota { per_second, burst: Some(burst) }, "rate", &mut Faults::default()).unwrap()
    }

    #[test]
    fn under_concurrency_no_more_than_the_burst_passes() {
        let limiter = Limiter::new(100);
        let passed: usize = std::thread::scope(|scope| {
            let each = |_| {
                scope.spawn(|| {
                    let ask = |_: &i32| limiter.take(Client::Named("one".into()), quota(0.000_1, 25)).is_ok();
                    (0..100).filter(ask).count()
                })
            };
            let threads: Vec<_> = (0..8).map(each).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(passed, 25);
    }

    #[test]
    fn a_refusal_says_how_long_to_wait_and_touches_nobody_else() {
        let limiter = Limiter::new(100);
        let slow = quota(0.1, 1);
        assert!(limiter.take(Client::Named("a".into()), slow).is_ok());
        let wait = limiter.take(Client::Named("a".into()), slow).unwrap_err();
        assert!(wait > Duration::from_secs(5) && wait <= Duration::from_secs(10), "{wait:?}");
        assert!(limiter.take(Client::Named("b".into()), slow).is_ok());
        assert!(limiter.take(Client::Named("a".into()), quota(0.1, 3)).is_ok(), "a new rate is a new bucket");
    }

    #[test]
    fn the_map_is_bounded() {
        let limiter = Limiter::new(10);
        for n in 0..1_000_u32 {
            let _ = limiter.take(Client::peer(IpAddr::V4(n.into())), quota(1.0, 1));
        }
        limiter.buckets.run_pending_tasks();
        assert!(limiter.buckets.entry_count() <= 10);
    }

    #[test]
    fn addresses_of_one_host_count_as_one() {
        let of = |text: &str| Client::peer(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }

    #[test]
    fn rates_out_of_range_are_faults() {
        let mut faults = Faults::default();
        for (per_second, burst) in [(0.0, None), (f64::NAN, None), (-1.0, Some(1)), (1.0, Some(0)), (1e9, None)] {
            assert!(Quota::check(&RawQuota { per_second, burst }, "rate", &mut faults).is_none());
        }
        assert_eq!(faults.result(()).unwrap_err().iter().count(), 5);
    }
}
