//! Fletcher-4, the running checksum of send streams and of resume tokens: four 64-bit sums over 32-bit words,
//! each sum taken over the values of the one before (`zfs_fletcher.h`).
//!
//! The plain loop is one long chain of additions. Here the words are dealt to [`LANES`] independent chains, which
//! compilers turn into vector code, and the chains are joined at the end by closed formulas. With `x` the number
//! of words from a word to the end, the four sums weigh it by 1, x, x(x+1)/2 and x(x+1)(x+2)/6; `r` steps from the
//! end of lane `j` stand for `x = LANES*r - j`, and the formulas below are that substitution multiplied out.

/// Chains run side by side. Four of them keep all sums in the registers of any 64-bit machine.
const LANES: usize = 4;
const LANES_U64: u64 = LANES as u64;
/// Bytes that one step of all chains consumes.
const STEP: usize = LANES * 4;
/// Below this many bytes joining the chains costs more than they save.
const SHORT: usize = 512;

/// In which order the bytes of a word stand in the stream: that of the machine that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ByteOrder {
    /// x86, arm64 and nearly all others of today.
    Little,
    /// SPARC, older POWER, s390.
    Big,
}

/// The state of a Fletcher-4 checksum. Sums wrap at 64 bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Fletcher4 {
    /// The four sums, `zc_word` of `zio_cksum_t`.
    pub words: [u64; 4],
}

impl Fletcher4 {
    /// The checksum of nothing.
    pub const fn new() -> Self {
        Self { words: [0; 4] }
    }

    /// Adds the 32-bit words in `data`; the last one to three bytes are left out if they make no word.
    pub fn update(&mut self, data: &[u8], order: ByteOrder) {
        match order {
            ByteOrder::Little => self.update_words(data, u32::from_le_bytes),
            ByteOrder::Big => self.update_words(data, u32::from_be_bytes),
        }
    }

    fn update_words(&mut self, data: &[u8], word: impl Fn([u8; 4]) -> u32 + Copy) {
        let (long, short) = data.split_at(if data.len() < SHORT { 0 } else { data.len() / STEP * STEP });
        if !long.is_empty() {
            let mut sums = Lanes::default();
            sum_lanes(long, word, &mut sums);
            self.append(sums.join(), (long.len() / 4) as u64);
        }
        let [mut a, mut b, mut c, mut d] = self.words;
        for bytes in short.as_chunks::<4>().0 {
            a = a.wrapping_add(u64::from(word(*bytes)));
            b = b.wrapping_add(a);
            c = c.wrapping_add(b);
            d = d.wrapping_add(c);
        }
        self.words = [a, b, c, d];
    }

    /// Continues with data of `count` words whose own checksum is `next`.
    fn append(&mut self, next: Self, count: u64) {
        let [a, b, c, d] = self.words;
        let m = count;
        let second = triangle(m);
        let third = tetrahedron(m);
        let [na, nb, nc, nd] = next.words;
        self.words = [
            a.wrapping_add(na),
            weigh([(1, b), (m, a), (1, nb)]),
            weigh([(1, c), (m, b), (second, a), (1, nc)]),
            weigh([(1, d), (m, c), (second, b), (third, a), (1, nd)]),
        ];
    }
}

/// m(m+1)/2, wrapping only after the division.
fn triangle(m: u64) -> u64 {
    let m = u128::from(m);
    (m * (m + 1) / 2) as u64
}

/// m(m+1)(m+2)/6. A slice has fewer than 2^61 words; 2^42 are as many as fit here, 16 TiB at once.
fn tetrahedron(m: u64) -> u64 {
    let m = u128::from(m);
    ((m * (m + 1) / 2).wrapping_mul(m + 2) / 3) as u64
}

fn weigh<const N: usize>(terms: [(u64, u64); N]) -> u64 {
    terms.iter().fold(0, |sum, (weight, value)| sum.wrapping_add(weight.wrapping_mul(*value)))
}

/// The four sums of every chain.
#[derive(Clone, Copy, Default)]
struct Lanes {
    a: [u64; LANES],
    b: [u64; LANES],
    c: [u64; LANES],
    d: [u64; LANES],
}

/// Sums in chains. Kept out of line, its result handed over through memory: only where whole arrays are stored
/// does the compiler see that the chains fit vector registers, which doubles the speed.
#[inline(never)]
fn sum_lanes(data: &[u8], word: impl Fn([u8; 4]) -> u32, sums: &mut Lanes) {
    let Lanes { mut a, mut b, mut c, mut d } = *sums;
    for step in data.as_chunks::<STEP>().0 {
        let words = step.as_chunks::<4>().0;
        for lane in 0..LANES {
            a[lane] = a[lane].wrapping_add(u64::from(word(words[lane])));
            b[lane] = b[lane].wrapping_add(a[lane]);
            c[lane] = c[lane].wrapping_add(b[lane]);
            d[lane] = d[lane].wrapping_add(c[lane]);
        }
    }
    *sums = Lanes { a, b, c, d };
}

impl Lanes {
    /// The checksum of the words in the order in which they were dealt.
    fn join(&self) -> Fletcher4 {
        let n = LANES_U64;
        let mut words = [0_u64; 4];
        for (lane, j) in (0..LANES_U64).enumerate() {
            let (a, b, c, d) = (self.a[lane], self.b[lane], self.c[lane], self.d[lane]);
            let minus = u64::wrapping_neg;
            // n(n - 1 + 2j)/2, and the weight of r in the last sum: whole numbers for every even n.
            let second = n * (n - 1 + 2 * j) / 2;
            let third = (n * n * n + 3 * n * j * j + 3 * n * n * j + 2 * n - 3 * n * n - 6 * n * j) / 6;
            let sums = [
                a,
                weigh([(n, b), (minus(j), a)]),
                weigh([(n * n, c), (minus(second), b), (j * j.saturating_sub(1) / 2, a)]),
                weigh([
                    (n * n * n, d),
                    (minus(n * n * (n + j - 1)), c),
                    (third, b),
                    (minus(j * j.saturating_sub(1) * j.saturating_sub(2) / 6), a),
                ]),
            ];
            for (total, sum) in words.iter_mut().zip(sums) {
                *total = total.wrapping_add(sum);
            }
        }
        Fletcher4 { words }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, word by word.
    fn plain(data: &[u8], order: ByteOrder) -> Fletcher4 {
        let mut words = [0_u64; 4];
        for bytes in data.chunks_exact(4) {
            let bytes = bytes.try_into().unwrap();
            let mut value = u64::from(match order {
                ByteOrder::Little => u32::from_le_bytes(bytes),
                ByteOrder::Big => u32::from_be_bytes(bytes),
            });
            for sum in &mut words {
                *sum = sum.wrapping_add(value);
                value = *sum;
            }
        }
        Fletcher4 { words }
    }

    #[test]
    fn three_words_by_hand() {
        let mut sum = Fletcher4::new();
        sum.update(&[1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 99], ByteOrder::Little);
        assert_eq!(sum.words, [6, 10, 15, 21]);
        sum.update(&[0, 0, 0, 1], ByteOrder::Big);
        assert_eq!(sum.words, [7, 17, 32, 53]);
    }

    #[test]
    fn large_sums_wrap_as_the_definition_does() {
        let data = vec![0xff; 3 << 20];
        let mut sum = Fletcher4 { words: [u64::MAX, 1 << 63, 7, u64::MAX / 3] };
        let mut expected = sum;
        sum.update(&data, ByteOrder::Little);
        for bytes in data.chunks(400) {
            expected.update(bytes, ByteOrder::Little); // below SHORT: the plain loop
        }
        assert_eq!(sum, expected);
    }

    proptest! {
        #[test]
        fn any_cut_into_pieces_gives_the_plain_sum(
            seed in proptest::collection::vec(any::<u8>(), 1..64),
            words in 0..4000_usize, cuts in proptest::collection::vec(0..4000_usize, 0..4), big in any::<bool>(),
        ) {
            let order = if big { ByteOrder::Big } else { ByteOrder::Little };
            let data: Vec<u8> = (0..words * 4).map(|at| seed[at % seed.len()].wrapping_mul(at as u8 | 1)).collect();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(words) * 4).collect();
            cuts.sort_unstable();
            cuts.push(words * 4);
            let (mut sum, mut start) = (Fletcher4::new(), 0);
            for cut in cuts {
                sum.update(&data[start..cut], order);
                start = cut;
            }
            prop_assert_eq!(sum, plain(&data, order));
        }
    }
}
