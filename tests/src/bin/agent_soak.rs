//! `make soak ONLY=agents`: faults between real agents and a real hub, each with a comparison of what the
//! agent looked at with what the hub holds. `AGENT_KILLS` (100) kills of the hub, `AGENT_CUT` (360)
//! looks of a silent network (an hour of 10 s), `AGENT_SEED` repeats a run's choices. Ends with a panic
//! at the first look that is missing, twice, or another.

#![allow(clippy::print_stdout, reason = "a program for the developer's terminal")]

use gander_e2e::agent_faults;

fn setting<T: std::str::FromStr>(name: &str, default: T) -> T {
    let set = std::env::var(name).ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(default)
}

async fn part(what: &str, looks: impl Future<Output = usize>) {
    println!("{what} …");
    let began = std::time::Instant::now();
    let looks = looks.await;
    println!(
        "  {looks} looks, all at the hub, none twice ({} s)",
        began.elapsed().as_secs()
    );
}

#[tokio::main]
async fn main() {
    let kills = setting("AGENT_KILLS", 100);
    let cut = setting("AGENT_CUT", 360);
    let seed = setting("AGENT_SEED", std::process::id().into());
    println!("AGENT_SEED={seed}");
    part(
        &format!("the hub is killed {kills} times"),
        agent_faults::the_hub_is_killed(kills, seed),
    )
    .await;
    part(
        &format!("a silent network for {cut} looks"),
        agent_faults::the_network_is_cut(cut),
    )
    .await;
    part(
        "the agent's disk is full",
        agent_faults::the_agents_disk_is_full(60),
    )
    .await;
    part("the agent's clock is set", agent_faults::the_clock_is_set(30)).await;
    part(
        "certificates of 30 s",
        agent_faults::the_certificate_ends("30s", 90),
    )
    .await;
    part(
        "the hub goes back to a backup",
        agent_faults::the_hub_is_restored(30),
    )
    .await;
}
