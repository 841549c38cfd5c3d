//! Faults between a real agent and a real hub, in short; `make soak ONLY=agents` has them in long.

use gander_e2e::agent_faults;

#[tokio::test]
async fn a_hub_killed_under_its_agents_loses_nothing() {
    agent_faults::the_hub_is_killed(3, 7).await;
}

#[tokio::test]
async fn a_silent_network_loses_nothing() {
    agent_faults::the_network_is_cut(8).await;
}

#[tokio::test]
async fn a_full_disk_under_the_agent_is_told_and_loses_nothing() {
    agent_faults::the_agents_disk_is_full(3).await;
}

#[tokio::test]
async fn a_clock_that_is_set_moves_no_sample() {
    agent_faults::the_clock_is_set(2).await;
}

#[tokio::test]
async fn a_certificate_is_renewed_and_its_end_is_told() {
    agent_faults::the_certificate_ends("12s", 2).await;
}

#[tokio::test]
async fn a_hub_restored_from_a_backup_goes_on_with_its_agents() {
    agent_faults::the_hub_is_restored(4).await;
}
