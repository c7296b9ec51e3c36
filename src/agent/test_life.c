/* The tables of lives: every place of every table, the good ones by name and all others refused. */
#include "agent/life.h"

#include <stdint.h>

#include "agent/program.h"
#include "model/device.h"
#include "test/lib/isolated.h"

static void program_goes(enum program_state from, enum program_event event, enum program_state to)
{
    enum program_state got = PROGRAM_NONE;

    assert_true(program_next(from, event, &got));
    assert_int_equal(got, to);
}

static void a_program_starts_serves_and_ends(void **state)
{
    program_goes(PROGRAM_NONE, PROGRAM_START, PROGRAM_STARTING);
    program_goes(PROGRAM_STARTING, PROGRAM_BOUND, PROGRAM_READY);
    program_goes(PROGRAM_READY, PROGRAM_END_GOOD, PROGRAM_EXITED);
    program_goes(PROGRAM_EXITED, PROGRAM_START, PROGRAM_STARTING);
    program_goes(PROGRAM_STARTING, PROGRAM_END_BAD, PROGRAM_FAILED);
    program_goes(PROGRAM_FAILED, PROGRAM_START, PROGRAM_STARTING);
}

static void an_adopted_program_is_lost_until_it_comes_back(void **state)
{
    program_goes(PROGRAM_NONE, PROGRAM_ADOPT, PROGRAM_LOST);
    program_goes(PROGRAM_LOST, PROGRAM_BOUND, PROGRAM_READY);
    program_goes(PROGRAM_READY, PROGRAM_UNBOUND, PROGRAM_LOST);
    program_goes(PROGRAM_LOST, PROGRAM_END_BAD, PROGRAM_FAILED);
}

static void what_ended_under_an_earlier_agent_may_stay_ended(void **state)
{
    program_goes(PROGRAM_NONE, PROGRAM_END_GOOD, PROGRAM_EXITED);
    program_goes(PROGRAM_NONE, PROGRAM_END_BAD, PROGRAM_FAILED);
}

static void a_device_fails_and_opens(void **state)
{
    program_goes(PROGRAM_NONE, PROGRAM_UNSTARTABLE, PROGRAM_FAILED);
    program_goes(PROGRAM_FAILED, PROGRAM_BOUND, PROGRAM_READY);
    program_goes(PROGRAM_READY, PROGRAM_UNSTARTABLE, PROGRAM_FAILED);
}

static void what_the_table_does_not_have_changes_nothing(void **state)
{
    enum program_state got = PROGRAM_READY;

    assert_false(program_next(PROGRAM_NONE, PROGRAM_UNBOUND, &got));
    assert_false(program_next(PROGRAM_STARTING, PROGRAM_UNBOUND, &got));
    assert_false(program_next(PROGRAM_EXITED, PROGRAM_BOUND, &got));
    assert_false(program_next(PROGRAM_READY, PROGRAM_START, &got));
    assert_false(program_next(PROGRAM_LOST, PROGRAM_ADOPT, &got));
    assert_int_equal(got, PROGRAM_READY);
}

static void a_program_that_runs_is_never_started_again(void **state)
{
    enum program_state got;

    assert_false(program_next(PROGRAM_STARTING, PROGRAM_START, &got));
    assert_false(program_next(PROGRAM_READY, PROGRAM_START, &got));
    assert_false(program_next(PROGRAM_LOST, PROGRAM_START, &got));
}

/* One bit for each type, in the order of enum session_type. */
static unsigned accepted_by(enum session_state state)
{
    unsigned bits = 0;

    for (unsigned type = 0; type < SESSION_TYPES_END; type++) {
        bits |= (unsigned)session_accepts(state, (enum session_type)type) << type;
    }
    return bits;
}

#define BIT(type) (1u << (type))

static void each_kind_of_session_may_ask_its_own_and_no_more(void **state)
{
    assert_int_equal(accepted_by(SESSION_NEW), BIT(SESSION_HELLO) | BIT(SESSION_PEER));
    assert_int_equal(accepted_by(SESSION_PROGRAM), BIT(SESSION_SERVE) | BIT(SESSION_READY) |
                                                       BIT(SESSION_CHANNEL) | BIT(SESSION_BIND));
    assert_int_equal(accepted_by(SESSION_SERVING),
                     BIT(SESSION_READY) | BIT(SESSION_CHANNEL) | BIT(SESSION_BIND));
    assert_int_equal(accepted_by(SESSION_PERSON), BIT(SESSION_CHANNEL) | BIT(SESSION_BIND));
    assert_int_equal(accepted_by(SESSION_AGENT), BIT(SESSION_LANE) | BIT(SESSION_CLOSE));
    assert_false(session_accepts(SESSION_STATES_COUNT, SESSION_HELLO));
    assert_false(session_accepts(SESSION_NEW, SESSION_TYPES_END));
}

static void the_center_says_nothing_before_welcome(void **state)
{
    for (unsigned type = EVENT_HELLO; type <= EVENT_STOP; type++) {
        bool down = type == EVENT_SNAPSHOT || type == EVENT_DELTA || type == EVENT_STOP;
        bool refused = type == EVENT_REFUSED;

        assert_false(watch_accepts(WATCH_AWAY, (enum event_type)type));
        assert_int_equal(watch_accepts(WATCH_GREETING, (enum event_type)type),
                         type == EVENT_WELCOME || refused);
        assert_int_equal(watch_accepts(WATCH_WELCOME, (enum event_type)type), down || refused);
        assert_int_equal(watch_accepts(WATCH_SYNCED, (enum event_type)type), down || refused);
    }
}

static void a_lost_lane_must_be_given_up_before_it_opens(void **state)
{
    enum lane_state got = LANE_CLOSED;

    assert_true(lane_next(LANE_CLOSED, LANE_OPENED, &got));
    assert_int_equal(got, LANE_OPEN);
    assert_true(lane_next(LANE_OPEN, LANE_OPENED, &got)); /* a switch */
    assert_int_equal(got, LANE_OPEN);
    assert_true(lane_next(LANE_OPEN, LANE_BROKEN, &got));
    assert_int_equal(got, LANE_LOST);
    assert_false(lane_next(LANE_LOST, LANE_OPENED, &got));
    assert_int_equal(got, LANE_LOST);
    assert_true(lane_next(LANE_LOST, LANE_GIVEN_UP, &got));
    assert_int_equal(got, LANE_CLOSED);
    assert_false(lane_next(LANE_CLOSED, LANE_BROKEN, &got));
}

static void the_back_off_begins_at_once_and_is_bounded(void **state)
{
    assert_int_equal(program_pause_ms(0), 0);
    assert_int_equal(program_pause_ms(1), 0);
    assert_int_equal(program_pause_ms(2), 100);
    assert_int_equal(program_pause_ms(3), 200);
    assert_int_equal(program_pause_ms(7), 3200);
    assert_int_equal(program_pause_ms(8), 5000);
    assert_int_equal(program_pause_ms(1000000000), 5000);
}

static void the_restart_policy_is_the_manifests(void **state)
{
    assert_false(program_again(RESTART_ON_FAILURE, true));
    assert_true(program_again(RESTART_ON_FAILURE, false));
    assert_true(program_again(RESTART_ALWAYS, true));
    assert_true(program_again(RESTART_ALWAYS, false));
    assert_false(program_again(RESTART_NEVER, true));
    assert_false(program_again(RESTART_NEVER, false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        isolated_test(a_program_starts_serves_and_ends),
        isolated_test(an_adopted_program_is_lost_until_it_comes_back),
        isolated_test(what_ended_under_an_earlier_agent_may_stay_ended),
        isolated_test(a_device_fails_and_opens),
        isolated_test(what_the_table_does_not_have_changes_nothing),
        isolated_test(a_program_that_runs_is_never_started_again),
        isolated_test(each_kind_of_session_may_ask_its_own_and_no_more),
        isolated_test(the_center_says_nothing_before_welcome),
        isolated_test(a_lost_lane_must_be_given_up_before_it_opens),
        isolated_test(the_back_off_begins_at_once_and_is_bounded),
        isolated_test(the_restart_policy_is_the_manifests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
