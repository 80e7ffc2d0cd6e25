//! Trying encodings on some of a column's rows, by the encoders that loads use, and choosing among them.

use super::chunk::{ChunkEncoder, DictionaryUse};
use super::{allowed, auto, stored_encoding};
use crate::common::{EncodingName, Error, Result, SqlType};
use crate::format::column::Column;
use crate::format::stable::Geometry;

/// Every encoding that a column of one type can be declared with, AUTO excepted: RAW first, then by how fast each is
/// read, about (our own order).
const FASTEST_FIRST: [EncodingName; 16] = [
    EncodingName::Raw,
    EncodingName::Az64,
    EncodingName::ByteDict,
    EncodingName::RunLength,
    EncodingName::Alp,
    EncodingName::Mostly8,
    EncodingName::Mostly16,
    EncodingName::Mostly32,
    EncodingName::Delta,
    EncodingName::Delta32k,
    EncodingName::Fsst,
    EncodingName::FsstDict,
    EncodingName::Text255,
    EncodingName::Text32k,
    EncodingName::Lzo,
    EncodingName::Zstd,
];

/// Encodes chunks of a column in every encoding that its type can have.
#[derive(Debug)]
pub struct Trial {
    encoders: Vec<(EncodingName, ChunkEncoder)>,
}

/// What a chunk takes in one encoding, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkCost {
    pub pages: u64,
    /// 0 where there is none, or the segment's last is shared.
    pub dictionary: u64,
}

impl Trial {
    pub fn new(sql_type: SqlType, geometry: Geometry) -> Self {
        let encoder = |name| (name, ChunkEncoder::new(sql_type.stored(), name, geometry));
        Trial { encoders: names(sql_type).map(encoder).collect() }
    }

    /// Begins another segment: its first dictionary is new.
    pub fn start_segment(&mut self) {
        self.encoders.iter_mut().for_each(|(_, encoder)| encoder.start_segment());
    }

    /// What the next chunk of the segment takes, in the order of [`names`]. `go_on` is asked before each encoding; its
    /// error ends the trial.
    ///
    /// Errors: as [`ChunkEncoder::encode`]'s, and those of `go_on`.
    pub fn encode(&mut self, chunk: &Column, mut go_on: impl FnMut() -> Result<()>) -> Result<Vec<ChunkCost>> {
        let mut costs = Vec::with_capacity(self.encoders.len());
        for (_, encoder) in &mut self.encoders {
            go_on()?;
            let encoded = encoder.encode(chunk)?;
            costs.push(ChunkCost {
                pages: encoded.pages.iter().map(|page| page.len() as u64).sum(),
                dictionary: match &encoded.dictionary {
                    DictionaryUse::New(bytes) => bytes.len() as u64,
                    DictionaryUse::None | DictionaryUse::Shared => 0,
                },
            });
        }
        Ok(costs)
    }
}

/// The encodings that [`Trial`] tries for a type; the first is RAW.
pub fn names(sql_type: SqlType) -> impl Iterator<Item = EncodingName> {
    FASTEST_FIRST.into_iter().filter(move |name| allowed(*name, sql_type).is_ok())
}

/// The position among [`names`] of the fewest bytes; of several the one that is read fastest.
pub fn smallest(bytes: &[u64]) -> usize {
    let least = bytes.iter().enumerate().min_by_key(|(_, bytes)| **bytes);
    least.map_or(0, |(position, _)| position)
}

/// The position among [`names`] of what AUTO's weights prefer, where `rows` rows take `bytes[i]` bytes in the `i`-th:
/// a slower encoding has to be that much smaller. A `light` choice is AUTO's for a small table.
///
/// Errors: Internal when `bytes` are not as many as the names.
pub fn fastest(sql_type: SqlType, light: bool, rows: u64, bytes: &[u64]) -> Result<usize> {
    let names: Vec<EncodingName> = names(sql_type).collect();
    if names.len() != bytes.len() {
        return Err(Error::internal(format!("{} sizes of {} encodings", bytes.len(), names.len())));
    }
    let position = |id| names.iter().position(|name| stored_encoding(*name) == Some(id));
    let [best, _] = auto::choose(sql_type.stored(), light, rows as usize, |id| {
        Ok(position(id).map(|position| bytes[position] as usize))
    })?;
    position(best).ok_or_else(|| Error::internal(format!("AUTO took {best:?} for a column of type {sql_type}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::column::Values;

    #[test]
    fn every_name_is_tried_where_it_is_allowed() {
        for name in EncodingName::ALL.into_iter().filter(|name| *name != EncodingName::Auto) {
            assert!(FASTEST_FIRST.contains(&name), "{name}");
        }
        let integer: Vec<&str> = names(SqlType::Integer).map(EncodingName::as_str).collect();
        let wanted =
            ["raw", "az64", "bytedict", "runlength", "mostly8", "mostly16", "delta", "delta32k", "lzo", "zstd"];
        assert_eq!(integer, wanted);
        let of_super: Vec<&str> = names(SqlType::Super).map(EncodingName::as_str).collect();
        assert_eq!(of_super, ["raw", "lzo", "zstd"]);
    }

    #[test]
    fn a_shared_dictionary_costs_nothing_again() {
        let geometry = Geometry::new(64, 256).unwrap();
        let mut trial = Trial::new(SqlType::BigInt, geometry);
        let chunk = Column::new(Values::I64((0..256).map(|i| i % 7 * 1_000_003).collect()), None);
        let at = names(SqlType::BigInt).position(|name| name == EncodingName::ByteDict).unwrap();
        let first = trial.encode(&chunk, || Ok(())).unwrap()[at];
        let second = trial.encode(&chunk, || Ok(())).unwrap()[at];
        assert!(first.dictionary > 0);
        assert_eq!((second.pages, second.dictionary), (first.pages, 0));
        trial.start_segment();
        assert_eq!(trial.encode(&chunk, || Ok(())).unwrap()[at], first);
        let mut left = 3;
        let stop = trial.encode(&chunk, || {
            left -= 1;
            if left == 0 { Err(Error::unavailable("stop")) } else { Ok(()) }
        });
        assert_eq!(stop.unwrap_err().message(), "stop");
    }

    #[test]
    fn choices_weigh_bytes_alone_or_speed_too() {
        let bytes = |of: &[(EncodingName, u64)]| -> Vec<u64> {
            let given = |name| of.iter().find(|(n, _)| *n == name).map_or(1_000_000, |(_, bytes)| *bytes);
            names(SqlType::BigInt).map(given).collect()
        };
        let name = |position: usize| names(SqlType::BigInt).nth(position).unwrap();
        let fast = |bytes: &[u64], light| name(fastest(SqlType::BigInt, light, 100_000, bytes).unwrap());
        use EncodingName as E;
        // All the same: nothing to gain.
        assert_eq!(name(smallest(&bytes(&[]))), E::Raw);
        assert_eq!(fast(&bytes(&[]), false), E::Raw);
        // A little less is worth the space, not the time.
        let little = bytes(&[(E::Az64, 500_000), (E::Zstd, 400_000), (E::Delta, 450_000)]);
        assert_eq!(name(smallest(&little)), E::Zstd);
        assert_eq!(fast(&little, false), E::Az64);
        // Much less is worth both, but not where all is kept in memory.
        let much = bytes(&[(E::Az64, 500_000), (E::Zstd, 40_000)]);
        assert_eq!(fast(&much, false), E::Zstd);
        assert_eq!(fast(&much, true), E::Az64);
        assert!(fastest(SqlType::Super, false, 1, &[1]).is_err());
    }
}
