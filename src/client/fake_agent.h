/* client/fake_agent.h - an agent for tests of librhodes: one process that binds a program to
 * itself, so that the calls it makes go to the functions it serves. It knows no rules, and it can
 * die at the worst moment. */
#ifndef CLIENT_FAKE_AGENT_H
#define CLIENT_FAKE_AGENT_H

/* What goes wrong, once, with a call to a function whose name begins so:
 *   "early-"   the agent dies with the request in its hands, before the function has it
 *   "late-"    it dies with the reply in its hands
 *   "silent-"  no reply comes
 *   "garbage-" the reply's body is not of the result's type
 *   "nonsense-" what comes is not a reply
 * In mode "calm" (a successor) only the last three go wrong; in mode "stern" every call is DENIED by
 * the agent instead. BIND of "denied" is DENIED, of
 * anything not served NOT_FOUND. */
int fake_agent_run(const char *directory,
                   const char *mode); /* listens on DIRECTORY/agent.sock; does not return */

#endif
