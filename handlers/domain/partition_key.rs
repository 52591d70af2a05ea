//! Where Event Hubs places an event by its partition key.

/// The 16-bit hash by which Event Hubs clients, and the service, place a partition key.
///
/// Bob Jenkins' lookup3 with both seeds 0, its two results folded into one. It matches the partition
/// resolvers of Microsoft's clients; the vectors in the tests are theirs.
pub fn hash(key: &[u8]) -> i16 {
    // No key is near 4 GiB: Event Hubs takes 128 characters.
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX);
    let start = 0xdead_beef_u32.wrapping_add(length);
    let mut state = [start; 3];
    let mut rest = key;
    while rest.len() > BLOCK {
        let (block, others) = rest.split_at(BLOCK);
        add(&mut state, block);
        mix(&mut state);
        rest = others;
    }
    if !rest.is_empty() {
        add(&mut state, rest);
        finish(&mut state);
    }
    let [_, b, c] = state;
    // The lower half is all that the clients keep.
    (b ^ c) as i16
}

/// The partition of a key among `partitions`, which is at least 1.
pub fn partition(key: &[u8], partitions: u16) -> u16 {
    let hash = i32::from(hash(key));
    // Below `partitions`, so it fits.
    (hash % i32::from(partitions.max(1))).unsigned_abs() as u16
}

/// Three words of 32 bits.
const BLOCK: usize = 12;

/// Adds up to a block, in little-endian words; what is missing counts as zeros.
fn add(state: &mut [u32; 3], block: &[u8]) {
    let mut padded = [0; BLOCK];
    padded[..block.len()].copy_from_slice(block);
    let (words, _) = padded.as_chunks::<4>();
    for (value, word) in state.iter_mut().zip(words) {
        *value = value.wrapping_add(u32::from_le_bytes(*word));
    }
}

/// lookup3's reversible mixing, between blocks.
fn mix(state: &mut [u32; 3]) {
    let [mut a, mut b, mut c] = *state;
    for rotations in [[4, 6, 8], [16, 19, 4]] {
        a = a.wrapping_sub(c) ^ c.rotate_left(rotations[0]);
        c = c.wrapping_add(b);
        b = b.wrapping_sub(a) ^ a.rotate_left(rotations[1]);
        a = a.wrapping_add(c);
        c = c.wrapping_sub(b) ^ b.rotate_left(rotations[2]);
        b = b.wrapping_add(a);
    }
    *state = [a, b, c];
}

/// lookup3's final mixing, after the last block.
fn finish(state: &mut [u32; 3]) {
    let [mut a, mut b, mut c] = *state;
    let step = |into: u32, from: u32, by| (into ^ from).wrapping_sub(from.rotate_left(by));
    c = step(c, b, 14);
    a = step(a, c, 11);
    b = step(b, a, 25);
    c = step(c, b, 16);
    a = step(a, c, 4);
    b = step(b, a, 14);
    c = step(c, b, 24);
    *state = [a, b, c];
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys and hashes from the tests of the .NET client, `PartitionResolverTests.cs` of
    /// Azure.Messaging.EventHubs; Java's, Python's and Rust's clients are held to the same ones.
    const VECTORS: [(&str, i16); 12] = [
        ("7", -15_263),
        ("131", 30_562),
        ("7149583486996073602", 12_977),
        ("FWfAT", -22_341),
        ("sOdeEAsyQoEuEFPGerWO", -6_503),
        (
            "FAyAIctPeCgmiwLKbJcyswoHglHVjQdvtBowLACDNORsYvOcLddNJYDmhAVkbyLOrHTKLneMNcbgWVlasVywOByANjs",
            5_226,
        ),
        (
            "1XYM6!(7(lF5wq4k4m*e$Nc!1ezLJv*1YK1Y-C^*&B$O)lq^iUkG(TNzXG;Zi#z2Og*Qq0#^*k):vXh$3,C7We7%W0meJ;b3,rQCg^J;^twXgs5E$$hWKxqp",
            23_950,
        ),
        (
            "E(x;RRIaQcJs*P;D&jTPau-4K04oqr:lF6Z):ERpo&;9040qyV@G1_c9mgOs-8_8/10Fwa-7b7-yP!T-!IH&968)FWuI;(^g$2fN;)HJ^^yTn:",
            -29_304,
        ),
        ("!c*_!I@1^c", 15_372),
        ("p4*!jioeO/z-!-;w:dh", -3_104),
        ("$0cb", 26_269),
        ("-4189260826195535198", 453),
    ];

    #[test]
    fn a_key_hashes_as_microsofts_clients_hash_it() {
        for (key, expected) in VECTORS {
            assert_eq!(hash(key.as_bytes()), expected, "{key}");
        }
    }

    #[test]
    fn a_negative_hash_has_a_partition_too() {
        // -15,263 is -31 modulo 32.
        assert_eq!(partition(b"7", 32), 31);
        assert_eq!(partition(b"7", 1), 0);
        assert_eq!(partition(b"7149583486996073602", 32), 12_977 % 32);
    }
}
