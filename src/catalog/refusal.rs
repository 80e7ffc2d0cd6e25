//! Why an object store refused, for whoever reads an error's message.

use std::error::Error;

use object_store::Error as StoreError;

/// What a store's client says of its last answer.
const STATUS: &str = "status code: ";
/// How its client begins to say what it did, and how often.
const PERFORMING: &str = "Error performing ";

/// The reason alone: the store's answer, or what the connection met; then how often and how long it was asked.
///
/// Which client it was, the address and the headers are left out. An address may hold a signature, which is a secret.
pub fn reason(error: &StoreError) -> String {
    let texts = texts(error);
    let why = texts.iter().find_map(|text| answer(text)).or_else(|| texts.last().cloned()).unwrap_or_default();
    match texts.iter().find_map(|text| effort(text)) {
        Some(effort) => format!("{why}, {effort}"),
        None => why,
    }
}

/// The number of the HTTP answer that the error is of, if it is of one.
pub fn status(error: &StoreError) -> Option<u16> {
    let number = |text: &String| {
        let (_, rest) = text.split_once(STATUS)?;
        rest.get(..3)?.parse().ok()
    };
    texts(error).iter().find_map(number)
}

/// The error's text and those of its causes, the first cause last.
fn texts(error: &StoreError) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    texts
}

/// `503 Service Unavailable (SlowDown: Please reduce your request rate.)`
fn answer(text: &str) -> Option<String> {
    let (_, rest) = text.split_once(STATUS)?;
    let (status, body) = rest.split_once(": ").unwrap_or((rest, ""));
    let element = |name: &str| {
        let (_, rest) = body.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>")).map(|(text, _)| text.lines().next().unwrap_or_default().to_string())
    };
    let status = status.trim().trim_end_matches(':');
    Some(match (element("Code"), element("Message")) {
        (Some(code), Some(message)) => format!("the store answered {status} ({code}: {message})"),
        (Some(code), None) => format!("the store answered {status} ({code})"),
        _ => format!("the store answered {status}"),
    })
}

/// `after 4 tries in 1.2s`
fn effort(text: &str) -> Option<String> {
    let (_, rest) = text.split_once(PERFORMING)?;
    let (before, rest) = rest.split_once(", after ")?;
    let (_, took) = before.rsplit_once(" in ")?;
    let retries: u64 = rest.split_once(" retries")?.0.parse().ok()?;
    Some(format!("after {} tries in {took}", retries + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Text(&'static str, Option<Box<Text>>);

    impl std::fmt::Display for Text {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Text {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_ref().map(|cause| cause as _)
        }
    }

    fn generic(text: &'static str, cause: Option<&'static str>) -> StoreError {
        let cause = cause.map(|text| Box::new(Text(text, None)));
        StoreError::Generic { store: "S3", source: Box::new(Text(text, cause)) }
    }

    #[test]
    fn a_reason_is_an_answer_and_an_effort() {
        let error = generic(
            "Error performing GET http://host/b/k?X-Amz-Signature=hush in 1.5s, after 3 retries, max_retries: 9, \
             retry_timeout: 2s  - Server returned non-2xx status code: 503 Service Unavailable: <?xml?><Error>\
             <Code>SlowDown</Code><Message>Less, please.</Message></Error>",
            None,
        );
        let expected = "the store answered 503 Service Unavailable (SlowDown: Less, please.), after 4 tries in 1.5s";
        assert_eq!((reason(&error).as_str(), status(&error)), (expected, Some(503)));
        let error = generic("Server returned non-2xx status code: 404 Not Found: ", None);
        assert_eq!((reason(&error).as_str(), status(&error)), ("the store answered 404 Not Found", Some(404)));
        let error = generic(
            "Error performing GET http://host/?sig=hush in 2s - HTTP error: http://host/?sig=hush",
            Some("refused"),
        );
        assert_eq!((reason(&error).as_str(), status(&error)), ("refused", None));
    }
}
