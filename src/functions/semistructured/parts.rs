//! Arrays and objects of SUPER (Redshift's manual, "Array functions", "Object functions", "SUPER type information
//! functions").
//!
//! NULL where an array or object is wanted and the value is none. Elements are alike as `order` says, null is one of
//! them, and those that are kept stay in their order (our own choice: Redshift promises none).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::functions_nested as lists;
use datafusion::logical_expr::ScalarUDF;

use super::calls::{ANY, Call, Given, Gives, Row, SuperCall};
use super::order::{canonical, compare};
use super::{members, quote};
use crate::common::Result;

/// Whether one of these functions is called so.
pub(super) fn has(name: &str) -> bool {
    matches!(name, "array_has" | "array_has_any") || NEW.iter().chain(BESIDE_LISTS).any(|call| call.name == name)
}

pub(super) fn additions() -> impl Iterator<Item = Arc<ScalarUDF>> {
    NEW.iter().map(|call| SuperCall::udf(call, None))
}

/// Those whose names DataFusion has for Arrow's lists.
pub(super) fn replacements() -> impl Iterator<Item = Arc<ScalarUDF>> {
    let beside = |call: &'static Call| {
        let lists = match call.name {
            "array_concat" => lists::concat::array_concat_udf(),
            "array_contains" => lists::array_has::array_has_udf(),
            "array_distinct" => lists::set_ops::array_distinct_udf(),
            "array_except" => lists::except::array_except_udf(),
            "array_position" => lists::position::array_position_udf(),
            "array_positions" => lists::position::array_positions_udf(),
            "array_sort" => lists::sort::array_sort_udf(),
            "array_union" => lists::set_ops::array_union_udf(),
            _ => lists::array_has::array_has_any_udf(),
        };
        SuperCall::udf(call, Some(lists))
    };
    BESIDE_LISTS.iter().map(beside)
}

const fn call(
    name: &'static str,
    takes: (usize, usize),
    gives: Gives,
    make: fn(&Row) -> Result<Option<Given>>,
) -> Call {
    Call { name, takes, gives, make }
}

const NEW: &[Call] = &[
    call("array", (0, ANY), Gives::Super, array),
    call("array_flatten", (1, 1), Gives::Super, flatten),
    call("array_intersection", (2, 3), Gives::Super, |row| by_count(row, true)),
    call("split_to_array", (1, 2), Gives::Super, split),
    call("subarray", (3, 3), Gives::Super, subarray),
    call("object", (0, ANY), Gives::Super, object),
    call("lower_attribute_names", (1, 1), Gives::Super, |row| Ok(rename(row, str::to_lowercase))),
    call("upper_attribute_names", (1, 1), Gives::Super, |row| Ok(rename(row, str::to_uppercase))),
    call("get_number_attributes", (1, 1), Gives::Int, attributes),
    call("is_char", (1, 1), Gives::Bool, is_char),
    call("json_size", (1, 1), Gives::Int, |row| row.json(0).map(|json| int(row, json.len())).transpose()),
    call("json_serialize_to_varbyte", (1, 1), Gives::Bytes, |row| {
        Ok(row.json(0).map(|json| Given::Bytes(json.as_bytes().to_vec())))
    }),
];

const BESIDE_LISTS: &[Call] = &[
    call("array_concat", (2, 2), Gives::Super, concat),
    call("array_contains", (2, 3), Gives::Bool, contains),
    call("array_distinct", (1, 1), Gives::Super, |row| Ok(row.array(0).map(|all| list(distinct(all))))),
    call("array_except", (2, 3), Gives::Super, |row| by_count(row, false)),
    call("array_position", (2, 3), Gives::Int, position),
    call("array_positions", (2, 2), Gives::Super, positions),
    call("array_sort", (1, 3), Gives::Super, sort),
    call("array_union", (2, 2), Gives::Super, union),
    call("arrays_overlap", (2, 2), Gives::Bool, overlap),
];

fn list<'j>(elements: impl IntoIterator<Item = &'j str>) -> Given {
    let mut json = String::from("[");
    for (i, element) in elements.into_iter().enumerate() {
        if i > 0 {
            json.push(',');
        }
        json.push_str(element);
    }
    json.push(']');
    Given::Super(json)
}

fn int(row: &Row, number: usize) -> Result<Given> {
    i32::try_from(number).map(Given::Int).map_err(|_| row.invalid("the value is too long"))
}

fn array(row: &Row) -> Result<Option<Given>> {
    Ok(Some(list((0..row.len()).map(|i| row.json(i).unwrap_or("null")))))
}

fn concat(row: &Row) -> Result<Option<Given>> {
    let (Some(left), Some(right)) = (row.array(0), row.array(1)) else { return Ok(None) };
    Ok(Some(list(left.into_iter().chain(right))))
}

/// One level; an element that is no array stays.
fn flatten(row: &Row) -> Result<Option<Given>> {
    let Some(elements) = row.array(0) else { return Ok(None) };
    let mut flat = Vec::new();
    for element in elements {
        match element.starts_with('[') {
            true => flat.extend(members(element, b'[').map(|(_, inner)| inner)),
            false => flat.push(element),
        }
    }
    Ok(Some(list(flat)))
}

/// `subarray(array, place from 0, length)`
fn subarray(row: &Row) -> Result<Option<Given>> {
    let (Some(elements), Some(from), Some(length)) = (row.array(0), row.int(1)?, row.int(2)?) else { return Ok(None) };
    let (Ok(from), Ok(length)) = (usize::try_from(from), usize::try_from(length)) else {
        return Err(row.invalid("the place, counted from 0, and the length must not be negative"));
    };
    Ok(Some(list(elements.into_iter().skip(from).take(length))))
}

/// `split_to_array(text [, delimiter])`; the delimiter is a comma where none is given.
fn split(row: &Row) -> Result<Option<Given>> {
    let delimiter = if row.len() > 1 { row.text(1)? } else { Some(",".to_string()) };
    let (Some(text), Some(delimiter)) = (row.text(0)?, delimiter) else { return Ok(None) };
    let parts: Vec<String> = match delimiter.is_empty() {
        true => vec![quote(&text)],
        false => text.split(&delimiter).map(quote).collect(),
    };
    Ok(Some(list(parts.iter().map(String::as_str))))
}

/// A search for `value`; `None` where NULL is the answer.
fn search(row: &Row) -> Result<Option<Option<usize>>> {
    let (Some(elements), Some(null_match)) = (row.array(0), row.flag(2, true)?) else { return Ok(None) };
    let sought = row.json(1).unwrap_or("null");
    if sought == "null" && !null_match {
        return Ok(None);
    }
    let sought = canonical(sought);
    let found = elements.iter().position(|element| canonical(element) == sought);
    Ok(match found {
        None if !null_match && elements.contains(&"null") => None,
        found => Some(found),
    })
}

fn contains(row: &Row) -> Result<Option<Given>> {
    Ok(search(row)?.map(|found| Given::Bool(found.is_some())))
}

/// From 0; -1 where it is not found.
fn position(row: &Row) -> Result<Option<Given>> {
    match search(row)? {
        Some(Some(at)) => int(row, at).map(Some),
        Some(None) => Ok(Some(Given::Int(-1))),
        None => Ok(None),
    }
}

fn positions(row: &Row) -> Result<Option<Given>> {
    let Some(elements) = row.array(0) else { return Ok(None) };
    let sought = canonical(row.json(1).unwrap_or("null"));
    let places = elements.iter().enumerate().filter(|(_, element)| canonical(element) == sought);
    let places: Vec<String> = places.map(|(place, _)| place.to_string()).collect();
    Ok(Some(list(places.iter().map(String::as_str))))
}

fn distinct(elements: Vec<&str>) -> Vec<&str> {
    let mut seen = HashSet::new();
    elements.into_iter().filter(|element| seen.insert(canonical(element))).collect()
}

/// Elements of the first array that the second one has (`common`), or has not: each as often as it has more of them, or,
/// where the third argument is TRUE, once.
fn by_count(row: &Row, common: bool) -> Result<Option<Given>> {
    let (Some(left), Some(right), Some(once)) = (row.array(0), row.array(1), row.flag(2, false)?) else {
        return Ok(None);
    };
    let mut counts: HashMap<String, usize> = HashMap::new();
    for element in right {
        *counts.entry(canonical(element)).or_default() += 1;
    }
    if once {
        let kept = distinct(left).into_iter().filter(|element| counts.contains_key(&canonical(element)) == common);
        return Ok(Some(list(kept)));
    }
    let mut taken = |element: &str| match counts.get_mut(&canonical(element)) {
        Some(count) if *count > 0 => {
            *count -= 1;
            true
        }
        _ => false,
    };
    let kept: Vec<&str> = left.into_iter().filter(|element| taken(element) == common).collect();
    Ok(Some(list(kept)))
}

fn union(row: &Row) -> Result<Option<Given>> {
    let (Some(mut all), Some(right)) = (row.array(0), row.array(1)) else { return Ok(None) };
    all.extend(right);
    Ok(Some(list(distinct(all))))
}

fn overlap(row: &Row) -> Result<Option<Given>> {
    let (Some(left), Some(right)) = (row.array(0), row.array(1)) else { return Ok(None) };
    let left: HashSet<String> = left.into_iter().map(canonical).collect();
    Ok(Some(Given::Bool(right.into_iter().any(|element| left.contains(&canonical(element))))))
}

/// `array_sort(array [, ascending [, nulls_first]])`; nulls come last, or first where the order descends.
fn sort(row: &Row) -> Result<Option<Given>> {
    let (Some(elements), Some(ascending)) = (row.array(0), row.flag(1, true)?) else { return Ok(None) };
    let Some(nulls_first) = row.flag(2, !ascending)? else { return Ok(None) };
    let (nulls, mut values): (Vec<&str>, Vec<&str>) = elements.into_iter().partition(|element| *element == "null");
    values.sort_by(|left, right| if ascending { compare(left, right) } else { compare(right, left) });
    Ok(Some(match nulls_first {
        true => list(nulls.into_iter().chain(values)),
        false => list(values.into_iter().chain(nulls)),
    }))
}

/// `object(name, value, …)`
fn object(row: &Row) -> Result<Option<Given>> {
    if !row.len().is_multiple_of(2) {
        return Err(row.invalid("it takes names and values in turn"));
    }
    let mut json = String::from("{");
    for i in (0..row.len()).step_by(2) {
        let name = row.text(i)?.ok_or_else(|| row.invalid(&format!("the name, argument {}, is NULL", i + 1)))?;
        if i > 0 {
            json.push(',');
        }
        json.push_str(&quote(&name));
        json.push(':');
        json.push_str(row.json(i + 1).unwrap_or("null"));
    }
    json.push('}');
    Ok(Some(Given::Super(json)))
}

fn attributes(row: &Row) -> Result<Option<Given>> {
    match row.json(0).filter(|json| json.starts_with('{')) {
        Some(json) => int(row, members(json, b'{').count()).map(Some),
        None => Ok(None),
    }
}

/// CHAR holds ASCII only.
fn is_char(row: &Row) -> Result<Option<Given>> {
    Ok(match row.json(0) {
        Some(json) if json.starts_with('"') => row.text(0)?.map(|text| Given::Bool(text.is_ascii())),
        other => other.map(|_| Given::Bool(false)),
    })
}

/// The value with all names of members, at every depth, as `case` makes them.
fn rename(row: &Row, case: fn(&str) -> String) -> Option<Given> {
    let json = row.json(0)?;
    let mut out = String::with_capacity(json.len());
    // Names are the strings behind which a colon stands.
    let mut rest = json;
    while let Some(at) = rest.find('"') {
        let mut escaped = false;
        let end = rest[at + 1..].find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let Some(end) = end.map(|end| at + 1 + end + 1) else { break };
        let (string, behind) = (&rest[at..end], &rest[end..]);
        out.push_str(&rest[..at]);
        match serde_json::from_str::<String>(string) {
            Ok(name) if behind.starts_with(':') => out.push_str(&quote(&case(&name))),
            _ => out.push_str(string),
        }
        rest = behind;
    }
    out.push_str(rest);
    Some(Given::Super(out))
}
