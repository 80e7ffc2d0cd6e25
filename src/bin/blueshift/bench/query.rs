//! A benchmark's queries, and which of them are wanted.

use blueshift::engine::split;

use crate::failure::Failure;

/// A query: one statement or several, whose times add up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    pub name: String,
    pub statements: Vec<String>,
}

impl Query {
    /// The statements of a text.
    pub fn new(name: impl Into<String>, text: &str) -> Self {
        let statements = split(text).into_iter().map(|statement| statement.text.to_string()).collect();
        Query { name: name.into(), statements }
    }
}

/// The queries of a list as `1,6`, `2-5` or `q01,q07`: names, or places counted from 1; all without a list. They come in the
/// order of the list.
pub fn choose(queries: Vec<Query>, list: Option<&str>) -> Result<Vec<Query>, Failure> {
    let Some(list) = list else { return Ok(queries) };
    let place = |text: &str| {
        let text = text.trim();
        let named = queries.iter().position(|query| query.name.eq_ignore_ascii_case(text));
        let counted = || text.trim_start_matches(['q', 'Q']).parse::<usize>().ok()?.checked_sub(1);
        let place = named.or_else(counted).filter(|place| *place < queries.len());
        place.ok_or_else(|| {
            let all = match &queries[..] {
                [first, .., last] => format!("{} to {}", first.name, last.name),
                all => all.first().map_or_else(String::new, |only| only.name.clone()),
            };
            Failure::Message(format!("\"{text}\" is none of the queries {all}"))
        })
    };
    let mut chosen = Vec::new();
    for part in list.split(',') {
        match place(part) {
            Ok(one) => chosen.push(queries[one].clone()),
            Err(failure) => match part.split_once('-') {
                Some((first, last)) => {
                    chosen.extend_from_slice(queries.get(place(first)?..=place(last)?).unwrap_or(&[]))
                }
                None => return Err(failure),
            },
        }
    }
    match chosen.is_empty() {
        false => Ok(chosen),
        true => Err(Failure::Message(format!("\"{list}\" names no query"))),
    }
}

/// The queries in an order that a session's number gives, which is the same in every run.
pub fn shuffled<T: Clone>(session: u32, queries: &[T]) -> Vec<T> {
    let mut state = u64::from(session);
    // SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
    let mut next = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    let mut order = queries.to_vec();
    for last in (1..order.len()).rev() {
        order.swap(last, (next() % (last as u64 + 1)) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn queries() -> Vec<Query> {
        ["01", "02", "03a", "03b"].iter().map(|name| Query::new(format!("q{name}"), "select 1;")).collect()
    }

    fn chosen(list: &str) -> Option<Vec<String>> {
        choose(queries(), Some(list)).ok().map(|chosen| chosen.into_iter().map(|query| query.name).collect())
    }

    #[test]
    fn lists_name_queries_or_places() {
        assert_eq!(chosen("1,4").unwrap(), ["q01", "q03b"]);
        assert_eq!(chosen("Q03A, q1-q2").unwrap(), ["q03a", "q01", "q02"]);
        assert_eq!(chosen("2-4").unwrap(), ["q02", "q03a", "q03b"]);
        assert_eq!(choose(queries(), None).unwrap(), queries());
        for wrong in ["0", "5", "", "q03", "x", "4-2", "1-9"] {
            assert_eq!(chosen(wrong), if wrong == "q03" { Some(vec!["q03a".into()]) } else { None }, "{wrong}");
        }
    }

    #[test]
    fn a_text_has_several_statements() {
        assert_eq!(Query::new("x", "select 1;\nselect ';';\n").statements, ["select 1", "select ';'"]);
    }

    #[test]
    fn each_session_has_an_order_of_its_own() {
        let all: Vec<usize> = (1..=22).collect();
        let orders: HashSet<Vec<usize>> = (1..=64).map(|session| shuffled(session, &all)).collect();
        assert_eq!(orders.len(), 64);
        for mut order in orders {
            order.sort_unstable();
            assert_eq!(order, all);
        }
        assert_eq!(shuffled(3, &all), shuffled(3, &all));
    }
}
