//! Generated documents of about 190 bytes: the same number and seed give the same documents everywhere.

use sedge::Value;
use std::collections::BTreeMap;

const MAKES: [&str; 8] = [
    "Toyota", "Ford", "Volvo", "Skoda", "Fiat", "Honda", "Kia", "Audi",
];
const COLORS: [&str; 8] = [
    "blue", "red", "green", "white", "black", "grey", "silver", "yellow",
];
const SEED: u64 = 42;

/// The `index`th car.
pub(super) fn car(index: u64) -> Value {
    let mut random = SplitMix(SEED * 1_000_003 + index);
    // Drawn in the order of the fields, so that other programs can make the same documents.
    let make = MAKES[random.below(8) as usize];
    let color = COLORS[random.below(8) as usize];
    let year = 1985 + random.below(40);
    let price = random.below(400_000) as f64 / 8.0;
    let model = random.below(1_000);
    let sold = random.below(2) == 1;
    let vin = random.below(1_000_000_000_000_000);
    let text = |text: &str| Value::String(text.to_owned());
    Value::Map(BTreeMap::from([
        ("_id".to_owned(), Value::String(id(index))),
        ("make".to_owned(), text(make)),
        (
            "model".to_owned(),
            Value::String(format!("Corolla {model}")),
        ),
        ("color".to_owned(), text(color)),
        ("year".to_owned(), Value::Int(year as i64)),
        ("price".to_owned(), Value::Float(price)),
        ("sold".to_owned(), Value::Bool(sold)),
        ("vin".to_owned(), Value::String(format!("VIN{vin:017}"))),
        ("notes".to_owned(), text("the quick brown fox jumps over")),
    ]))
}

/// The `_id` of the `index`th car.
pub(super) fn id(index: u64) -> String {
    format!("car-{index:06}")
}

/// The splitmix64 generator (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
struct SplitMix(u64);

impl SplitMix {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the documents are those of the published generator, so figures compare across programs.
    #[test]
    fn cars_are_pinned() {
        let expected = PINNED.map(str::to_owned);
        assert_eq!([0, 99_999].map(|index| car(index).to_string()), expected);
    }

    const PINNED: [&str; 2] = [
        r#"{"_id":"car-000000","color":"white","make":"Audi","model":"Corolla 572","notes":"the quick brown fox jumps over","price":40375.5,"sold":true,"vin":"VIN00479575309516796","year":1986}"#,
        r#"{"_id":"car-099999","color":"blue","make":"Honda","model":"Corolla 724","notes":"the quick brown fox jumps over","price":38024.75,"sold":false,"vin":"VIN00793962110747054","year":2020}"#,
    ];
}
