//! What the resources with names of their own in the whole of Azure will be called: as infra/main.bicep makes the names.

/// The names that somebody else may have taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The storage accounts, of the app's data and of its runtime.
    pub storage: [String; 2],
    /// The Cosmos DB account.
    pub cosmos: String,
    /// The Event Hubs namespace.
    pub event_hubs: String,
    /// The IoT hub.
    pub iot_hub: String,
    /// The function app.
    pub app: String,
}

impl Names {
    /// In the group with this id, for the parameter `name`.
    pub fn new(group_id: &str, name: &str) -> Self {
        let prefix = name.to_lowercase().replace('-', "");
        let suffix = unique_string(&[group_id, &prefix]);
        let storage = |kind: &str| format!("{kind}{prefix}{suffix}").chars().take(24).collect();
        Self {
            storage: [storage("stdata"), storage("strun")],
            cosmos: format!("cosmos-{prefix}-{suffix}"),
            event_hubs: format!("evhns-{prefix}-{suffix}"),
            iot_hub: format!("iot-{prefix}-{suffix}"),
            app: format!("func-{prefix}-{suffix}"),
        }
    }
}

/// `uniqueString` of templates: 64 bits of a hash of the strings between hyphens, in 13 characters of 5 bits.
///
/// It is not documented. Azure publishes it in its package Azure.Deployments.Expression, and the tests have known results.
pub fn unique_string(values: &[&str]) -> String {
    const ALPHABET: [char; 32] = [
        'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r',
        's', 't', 'u', 'v', 'w', 'x', 'y', 'z', '2', '3', '4', '5', '6', '7',
    ];
    let mut hash = murmur(values.join("-").as_bytes());
    let mut text = String::with_capacity(13);
    for _ in 0..13 {
        text.push(ALPHABET[(hash >> 59) as usize]);
        hash <<= 5;
    }
    text
}

/// The 64-bit relative of MurmurHash3 of 128 bits for 32-bit machines: two of its four lanes.
fn murmur(bytes: &[u8]) -> u64 {
    const ONE: u32 = 0x239b_961b;
    const TWO: u32 = 0xab0e_9789;
    let first = |word: u32| word.wrapping_mul(ONE).rotate_left(15).wrapping_mul(TWO);
    let second = |word: u32| word.wrapping_mul(TWO).rotate_left(17).wrapping_mul(ONE);
    let finish = |mut word: u32| {
        word = (word ^ (word >> 16)).wrapping_mul(0x85eb_ca6b);
        word = (word ^ (word >> 13)).wrapping_mul(0xc2b2_ae35);
        word ^ (word >> 16)
    };
    let (mut low, mut high) = (0_u32, 0_u32);
    let mut blocks = bytes.chunks_exact(8);
    for block in &mut blocks {
        low = (low ^ first(word(&block[..4])))
            .rotate_left(19)
            .wrapping_add(high)
            .wrapping_mul(5)
            .wrapping_add(0x561c_cd1b);
        high = (high ^ second(word(&block[4..])))
            .rotate_left(13)
            .wrapping_add(low)
            .wrapping_mul(5)
            .wrapping_add(0x0bca_a747);
    }
    let (left, right) = {
        let rest = blocks.remainder();
        rest.split_at(rest.len().min(4))
    };
    low ^= first(word(left));
    high ^= second(word(right));

    let length = bytes.len() as u32;
    low ^= length;
    high ^= length;
    low = low.wrapping_add(high);
    high = high.wrapping_add(low);
    low = finish(low);
    high = finish(high);
    low = low.wrapping_add(high);
    high = high.wrapping_add(low);
    (u64::from(high) << 32) | u64::from(low)
}

/// Up to four bytes, the lowest first; none are 0, which leaves a lane as it is.
fn word(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .rev()
        .fold(0, |word, byte| (word << 8) | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Results that others have published, of lengths that leave 0 to 7 bytes over.
    #[test]
    fn strings_are_made_as_azure_makes_them() {
        for (values, expected) in [
            (&["test"][..], "rbgf3xv4ufgzg"),
            (&["abc"], "cgtzqvhu4i23s"),
            (&["tyeth"], "zcztcwvu6iyg6"),
            (&["hello", "world"], "a7wkljktk6wne"),
            (&["foo", "bar", "baz"], "xzi4ioaxtmth4"),
            (
                &["/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/my-rg"],
                "bmg7c6xu4tw46",
            ),
            (
                &[
                    "/subscriptions/3c7f956b-55ee-4686-9d30-da1eb631dc59/resourceGroups/rg-devopsshieldek010dev",
                ],
                "fd63l2gacbtca",
            ),
        ] {
            assert_eq!(unique_string(values), expected, "{values:?}");
        }
    }
}
