//! Numbers that look like chance, and are the same for the same seed: made-up data and the order of a round can be had again.

/// xorshift64*: good enough that nothing compresses it, and several bytes a nanosecond.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Seeds that are close to each other give numbers that are not.
    pub fn new(seed: u64) -> Self {
        let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // Of 0 there would come nothing but 0.
        Self((mixed ^ (mixed >> 31)).max(1))
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below a bound, each as likely as the others.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound.max(1)
    }

    /// A number below a bound, low ones far more often than high ones.
    pub fn low(&mut self, bound: u64) -> u64 {
        let bound = self.below(bound) + 1;
        self.below(bound)
    }

    /// One of some things, the first ones far more often than the last.
    pub fn often<'t, T>(&mut self, of: &'t [T]) -> &'t T {
        &of[self.low(of.len() as u64) as usize]
    }

    /// Brings things into an order by chance.
    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for at in (1..all.len()).rev() {
            let other = self.below(at as u64 + 1) as usize;
            all.swap(at, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_and_the_next_one_something_else() {
        let some = |seed: u64| {
            let mut random = Random::new(seed);
            (0..100).map(|_| random.draw()).collect::<Vec<_>>()
        };
        assert_eq!(some(7), some(7));
        // 2 and 3 differ in one bit, which must not be lost.
        assert_ne!(some(2), some(3));
    }

    #[test]
    fn numbers_stay_below_their_bound_and_low_ones_come_more_often() {
        let mut random = Random::new(1);
        assert!((0..1000).all(|_| random.below(7) < 7));
        let low = (0..1000).filter(|_| random.low(100) < 25).count();
        assert!(low > 400, "{low}");
        assert_eq!(random.below(0), 0);
    }

    #[test]
    fn a_shuffle_loses_nothing() {
        let mut all: Vec<u32> = (0..50).collect();
        Random::new(3).shuffle(&mut all);
        assert_ne!(all, (0..50).collect::<Vec<_>>());
        all.sort_unstable();
        assert_eq!(all, (0..50).collect::<Vec<_>>());
    }
}
