//! Statements without what may be secret in them, for logs.

use sqlparser::tokenizer::{Token, Whitespace};

use super::cursor::{START, tokenize};

/// Words of which what stands near is a secret, or may be.
const SUSPECT: [&str; 8] =
    ["secret", "credential", "access_key", "password", "token", "account_key", "signature", "sig="];

/// The text; where some of its strings may be secret, as COPY's credentials are, all are masked but the address of the files of COPY
/// and UNLOAD, and the query of UNLOAD, and comments are left out.
pub fn masked(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    // What follows an address's question mark lets whoever knows it read the file.
    // A blank or a quote may be part of the address, so that its end is not looked for.
    let address = |start: &str| lower.find(start).is_some_and(|at| lower[at..].contains(['?', '@']));
    if !SUSPECT.iter().any(|word| lower.contains(word)) && !address("http://") && !address("https://") {
        return text.to_string();
    }
    let first = lower.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
    let (tokens, read) = tokenize(text, START);
    // Of what is no SQL, which parts are strings is a guess.
    if read.is_err() {
        return format!("{} ***", text.split_whitespace().next().unwrap_or_default());
    }
    let mut places: Vec<&str> = match first.as_str() {
        "COPY" | "CREATE" => vec!["FROM"],
        "UNLOAD" => vec!["(", "TO"],
        _ => Vec::new(),
    };
    let (mut shown, mut before) = (String::new(), String::new());
    for token in tokens {
        match &token.token {
            Token::Whitespace(Whitespace::SingleLineComment { .. } | Whitespace::MultiLineComment(_)) => {
                shown.push(' ')
            }
            Token::Whitespace(blank) => shown.push_str(&blank.to_string()),
            Token::SingleQuotedString(text) => {
                let place = places.iter().position(|place| *place == before);
                let harmless = !is_suspect(text);
                match place.filter(|_| harmless) {
                    Some(_) => shown.push_str(&format!("'{}'", text.replace('\'', "''"))),
                    None => shown.push_str("'***'"),
                }
                // Each is the first of its kind.
                place.map(|at| places.remove(at));
                before.clear();
            }
            token => {
                let text = token.to_string();
                let is_string = !matches!(token, Token::Word(_)) && text.contains(['\'', '"', '$']);
                shown.push_str(if is_string { "'***'" } else { &text });
                before = text.to_ascii_uppercase();
            }
        }
    }
    shown
}

fn is_suspect(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    SUSPECT.iter().any(|word| lower.contains(word)) || lower.contains(['?', '@'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_queries_are_shown_and_nothing_else() {
        for (text, expected) in [
            ("select 'a'", "select 'a'"),
            (
                "copy t from 's3://b/x' secret_access_key 'it''s me' csv",
                "copy t from 's3://b/x' secret_access_key '***' csv",
            ),
            (
                "unload ('select ''a''') to 's3://b/x' credentials as 'password=me' delimiter '|'",
                "unload ('select ''a''') to 's3://b/x' credentials as '***' delimiter '***'",
            ),
            ("copy t from 's3://b/x' access_key_id 'A' 'hush'", "copy t from 's3://b/x' access_key_id '***' '***'"),
            ("copy t from 'x' credentials $$a'b$$", "copy t from 'x' credentials '***'"),
            ("insert into api_tokens values ('hush')", "insert into api_tokens values ('***')"),
            ("copy t from 'https://host/f.csv' csv", "copy t from 'https://host/f.csv' csv"),
        ] {
            assert_eq!(masked(text), expected);
        }
    }

    #[test]
    fn secrets_are_masked_wherever_they_stand() {
        for text in [
            "copy t from 'x' password 'hush",
            "copy t from 's3://b/x' -- don't\n secret_access_key 'hush'",
            "copy t from 's3://b/x' /* it's */ secret_access_key 'hush' -- 'hush",
            "copy \"it's\" from 'x' secret_access_key 'hush'",
            "unload ('select ''hush'' as password') to 'x'",
            "unload ('select 1') to 'x' access_key_id 'to' 'hush'",
            "copy t from 'k?token=hush' csv",
            "copy t from 'hush''token' csv",
            "copy t from 'https://h/f?key=hush' csv",
            "copy t from 'https://h/a b$c?key=hush' csv",
            "copy t from 'http://me:hush@h/f' csv",
            "copy t from 'az://c/f' credentials 'azure_storage_sas_key=hush' csv",
            "select * from t where token in ('a', 'hush')",
            "set some_secret to 'hush'",
            "copy t from 'x' access_key_id E'hush' token $x$hush$x$",
        ] {
            assert!(!masked(text).contains("hush"), "{text}: {}", masked(text));
        }
    }
}
