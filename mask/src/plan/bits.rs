//! Bits in words.

#[inline]
pub fn is_set(reach: &[u64], bit: usize) -> bool {
    reach.get(bit / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1)
}

pub fn set(reach: &mut [u64], bit: usize) {
    if let Some(word) = reach.get_mut(bit / 64) {
        *word |= 1 << (bit % 64);
    }
}

#[inline]
pub fn meet(one: &[u64], other: &[u64]) -> bool {
    one.iter().zip(other).any(|(one, other)| one & other != 0)
}
