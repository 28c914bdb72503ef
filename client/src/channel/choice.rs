//! Which of several backends, by their load: the less loaded of two drawn at random.
//!
//! Two choices keep the most loaded backend within log log n of the mean, where one choice gives log n / log log n
//! (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001). Always taking the least loaded would
//! do so too, but many clients that see the same figures would all run to the same backend.

/// Draws two different candidates and gives the one with less load; the first of them if they are level.
pub(super) fn less_loaded<T: Copy>(candidates: &[(T, usize)], rng: &mut fastrand::Rng) -> Option<T> {
    let (first, second) = match candidates.len() {
        0 => return None,
        1 => (0, 0),
        count => {
            let first = rng.usize(..count);
            (first, (first + rng.usize(1..count)) % count)
        }
    };
    let (first, second) = (candidates[first], candidates[second]);
    Some(if second.1 < first.1 { second.0 } else { first.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The loads after so many choices, none of which ends.
    fn thrown(bins: usize, balls: usize, seed: u64) -> Vec<usize> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut loads = vec![0; bins];
        for _ in 0..balls {
            let candidates: Vec<_> = loads.iter().copied().enumerate().collect();
            loads[less_loaded(&candidates, &mut rng).unwrap()] += 1;
        }
        loads
    }

    #[test]
    fn the_more_loaded_of_two_is_never_taken() {
        let mut rng = fastrand::Rng::with_seed(1);
        assert!((0..100).all(|_| less_loaded(&[('a', 3), ('b', 2)], &mut rng) == Some('b')));
        assert_eq!(less_loaded(&[('a', 3)], &mut rng), Some('a'));
        assert_eq!(less_loaded::<char>(&[], &mut rng), None);
    }

    #[test]
    fn loads_stay_close_together_and_level_ones_share() {
        for seed in 0..20 {
            let loads = thrown(10, 10_000, seed);
            let (least, most) = (loads.iter().min().unwrap(), loads.iter().max().unwrap());
            assert!(most - least <= 8, "seed {seed}: {loads:?}");
        }
        let mut rng = fastrand::Rng::with_seed(7);
        let taken = (0..3000).filter(|_| less_loaded(&[(0, 1), (1, 1), (2, 1)], &mut rng) == Some(2)).count();
        assert!((800..1200).contains(&taken), "{taken}");
    }

    #[test]
    fn the_same_seed_makes_the_same_choices() {
        assert_eq!(thrown(5, 99, 3), thrown(5, 99, 3));
        assert_ne!(thrown(5, 99, 3), thrown(5, 99, 4));
    }
}
