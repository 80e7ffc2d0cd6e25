//! Five stories of warehouses in use, each done as its teller did it and as Blueshift does it.
//!
//! `cargo run --release --example seeds -- heap|segment|claes|mobify|periscope|all [PERCENT]`
//!
//! - `heap`: events of users whose identities were merged get their new user;
//! - `segment`: a load that brings again what is there already;
//! - `claes`: a table gets other rows, and another sort key, while others use it;
//! - `mobify`: what a sort key makes of a hundred days of appends and vacuums;
//! - `periscope`: a cached result is built anew and takes the old one's place.
//!
//! Each prints what it did, how long that took, and ratios; what it claims it asserts. PERCENT makes it smaller or larger: of
//! the rows in most stories, of the days in `mobify`.

mod claes;
mod heap;
mod mobify;
mod periscope;
mod segment;
mod tools;

use std::process::ExitCode;

use blueshift::Result;

const STORIES: [&str; 5] = ["heap", "segment", "claes", "mobify", "periscope"];
const USAGE: &str = "usage: seeds heap|segment|claes|mobify|periscope|all [PERCENT], as in: seeds heap 10";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (name, percent) = match arguments.as_slice() {
        [name] => (name.as_str(), Some(100)),
        [name, percent] => (name.as_str(), percent.parse().ok().filter(|percent| (1..=10_000).contains(percent))),
        _ => ("", None),
    };
    let told: Vec<&str> = STORIES.into_iter().filter(|story| name == *story || name == "all").collect();
    let (false, Some(percent)) = (told.is_empty(), percent) else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    for story in told {
        println!("== {story}\n");
        if let Err(e) = tell(story, percent).await {
            eprintln!("ERROR: {e}");
            return ExitCode::FAILURE;
        }
        println!();
    }
    ExitCode::SUCCESS
}

async fn tell(story: &str, percent: u64) -> Result<()> {
    match story {
        "heap" => heap::tell(percent).await,
        "segment" => segment::tell(percent).await,
        "claes" => claes::tell(percent).await,
        "mobify" => mobify::tell(percent).await,
        _ => periscope::tell(percent).await,
    }
}
