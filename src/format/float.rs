//! Floating-point numbers in the formats of `serde`: as numbers, except that text formats, of which JSON
//! has neither NaN nor infinity, get these as `"NaN"`, `"inf"` and `"-inf"`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

/// f32 or f64.
pub(crate) trait Float:
    Copy + fmt::Display + FromStr + Serialize + for<'de> Deserialize<'de>
{
    fn is_finite(self) -> bool;
    /// Rounds to nearest.
    fn of_f64(x: f64) -> Self;
}

impl Float for f32 {
    fn is_finite(self) -> bool {
        self.is_finite()
    }

    fn of_f64(x: f64) -> f32 {
        x as f32
    }
}

impl Float for f64 {
    fn is_finite(self) -> bool {
        self.is_finite()
    }

    fn of_f64(x: f64) -> f64 {
        x
    }
}

pub(crate) fn serialize<T: Float, S: Serializer>(x: &T, s: S) -> Result<S::Ok, S::Error> {
    if x.is_finite() || !s.is_human_readable() { x.serialize(s) } else { s.collect_str(x) }
}

pub(crate) fn deserialize<'de, T: Float, D: Deserializer<'de>>(d: D) -> Result<T, D::Error> {
    if d.is_human_readable() { d.deserialize_any(Visitor(PhantomData)) } else { T::deserialize(d) }
}

struct Visitor<T>(PhantomData<T>);

impl<T: Float> de::Visitor<'_> for Visitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, \"NaN\", \"inf\" or \"-inf\"")
    }

    fn visit_f64<E: de::Error>(self, x: f64) -> Result<T, E> {
        let rounded = T::of_f64(x);
        // A number beyond f32's.
        let fits = rounded.is_finite() || !x.is_finite();
        if fits { Ok(rounded) } else { Err(E::invalid_value(de::Unexpected::Float(x), &self)) }
    }

    fn visit_u64<E: de::Error>(self, x: u64) -> Result<T, E> {
        Ok(T::of_f64(x as f64))
    }

    fn visit_i64<E: de::Error>(self, x: i64) -> Result<T, E> {
        Ok(T::of_f64(x as f64))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        let number = text.parse().ok().filter(|x: &T| !x.is_finite() && x.to_string() == text);
        number.ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

/// A number in this form.
struct Number<T>(T);

impl<T: Float> Serialize for Number<T> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        serialize(&self.0, s)
    }
}

impl<'de, T: Float> Deserialize<'de> for Number<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        deserialize(d).map(Number)
    }
}

/// The same of any number of numbers.
pub(crate) mod list {
    use super::{Deserialize, Deserializer, Float, Number, Serializer};

    pub(crate) fn serialize<T: Float, S: Serializer>(list: &[T], s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(list.iter().copied().map(Number))
    }

    pub(crate) fn deserialize<'de, T: Float, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Vec<T>, D::Error> {
        Ok(Vec::deserialize(d)?.into_iter().map(|Number(x)| x).collect())
    }
}

/// The same of a number that may be missing.
pub(crate) mod option {
    use super::{Deserialize, Deserializer, Float, Number, Serialize, Serializer};

    pub(crate) fn serialize<T: Float, S: Serializer>(
        x: &Option<T>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        x.map(Number).serialize(s)
    }

    pub(crate) fn deserialize<'de, T: Float, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Option<T>, D::Error> {
        Ok(Option::deserialize(d)?.map(|Number(x)| x))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_str, to_string};

    #[derive(Serialize, Deserialize)]
    struct Numbers {
        #[serde(with = "super")]
        x: f32,
        #[serde(with = "super")]
        y: f64,
        #[serde(with = "super::option", default)]
        z: Option<f64>,
        #[serde(with = "super::list", default)]
        list: Vec<f64>,
    }

    /// The bits of each number after a way through JSON.
    fn there_and_back(x: f32, y: f64) -> (u32, u64, Option<u64>) {
        let text = to_string(&Numbers { x, y, z: Some(y), list: vec![y, 0.5] }).unwrap();
        let Numbers { x, y, z, list } = from_str(&text).unwrap();
        assert_eq!(
            list.iter().map(|y| y.to_bits()).collect::<Vec<_>>(),
            [y, 0.5].map(f64::to_bits)
        );
        (x.to_bits(), y.to_bits(), z.map(f64::to_bits))
    }

    #[test]
    fn every_bit_survives() {
        // Steps of an odd number through all patterns, signs and exponents.
        for i in 0..300_000u64 {
            let y = f64::from_bits(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let x = f32::from_bits((i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32);
            if !x.is_nan() && !y.is_nan() {
                assert_eq!(there_and_back(x, y), (x.to_bits(), y.to_bits(), Some(y.to_bits())));
            }
        }
        let (least, most) = (f32::from_bits(1), f32::MAX);
        for x in [0.0, -0.0, least, -most, 0.1, 16_777_216.0, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(there_and_back(x, f64::from(x)).0, x.to_bits());
            assert_eq!(there_and_back(x, f64::from(x)).1, f64::from(x).to_bits());
        }
        let (x, y, z) = there_and_back(f32::NAN, f64::NAN);
        assert!(f32::from_bits(x).is_nan() && f64::from_bits(y).is_nan());
        assert!(z.is_some_and(|z| f64::from_bits(z).is_nan()));
    }

    #[test]
    fn json_has_numbers_and_three_words() {
        let list = vec![f64::NAN, 2.0];
        let text = to_string(&Numbers { x: 0.1, y: f64::NEG_INFINITY, z: Some(f64::NAN), list });
        assert_eq!(text.unwrap(), r#"{"x":0.1,"y":"-inf","z":"NaN","list":["NaN",2.0]}"#);
        let Numbers { x, y, z, .. } = from_str(r#"{"x":2,"y":-3}"#).unwrap();
        assert_eq!((x, y, z), (2.0, -3.0, None));
        assert!(from_str::<Numbers>(r#"{"x":0,"y":0,"z":null}"#).unwrap().z.is_none());
        for bad in [r#""1""#, r#""nan""#, r#""1e999""#, "null", "true", "1e39", "[0]"] {
            let error = from_str::<Numbers>(&format!(r#"{{"x":{bad},"y":0}}"#)).err().unwrap();
            assert!(error.to_string().contains("expected a number"), "{bad}: {error}");
        }
    }
}
