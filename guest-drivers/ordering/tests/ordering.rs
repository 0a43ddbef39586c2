//! All models, by flags and by event indices.

#[test]
fn requests_are_seen_as_they_were_made() {
    ordering::requests(false);
}

#[test]
fn no_notification_is_lost() {
    ordering::notification(false);
}

#[test]
fn no_notification_is_lost_by_event_indices() {
    ordering::notification(true);
}

#[test]
fn no_interrupt_is_lost() {
    ordering::interrupt(false);
}

#[test]
fn no_interrupt_is_lost_by_event_indices() {
    ordering::interrupt(true);
}
