// SPDX-License-Identifier: Apache-2.0
// A plain C face of libopenvswitch's OpenFlow codecs: flow text to messages and back. May include: the C library only.
// No I/O and no state; every function may be called from any thread. Buffers and strings given out are freed with free().
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weft_ports;  // names and numbers of a bridge's ports
struct weft_ports *weft_ports_new(void);
void weft_ports_put(struct weft_ports *, uint32_t number, const char *name);
void weft_ports_free(struct weft_ports *);

struct weft_flow {
    uint64_t cookie;
    uint8_t table;
    uint16_t priority, idle_timeout, hard_timeout;
    char *match, *actions;
};

struct weft_message {
    uint8_t *data;
    size_t size;
    uint32_t xid;  // in host order
};

// The flow as a switch would show it after taking it: encoded, decoded, encoded as a reply, decoded and printed. On failure
// returns the parser's words (to be freed), else NULL.
char *weft_flow_canonical(const char *text, const struct weft_ports *, struct weft_flow *out);
// A flow-mod inside a bundle-add. `strict_delete` takes text without actions.
char *weft_flow_encode_bundled(const char *text, bool strict_delete, uint8_t version, uint32_t bundle, const struct weft_ports *,
                               struct weft_message *out);

enum weft_bundle_step { WEFT_BUNDLE_OPEN, WEFT_BUNDLE_COMMIT, WEFT_BUNDLE_DISCARD };
void weft_encode_hello(struct weft_message *out);  // offers OpenFlow 1.3 and 1.4
void weft_encode_bundle(enum weft_bundle_step, uint8_t version, uint32_t bundle, struct weft_message *out);
void weft_encode_barrier(uint8_t version, struct weft_message *out);
void weft_encode_flow_dump(uint8_t version, struct weft_message *out);
// A packet of `flow` (exact, as ovs-ofctl compose-packet takes it) sent from the controller's port through `actions`. ICMP echoes get
// `icmp_id`. On failure returns the parser's words (to be freed), else NULL.
char *weft_encode_packet_out(const char *flow, uint16_t icmp_id, const char *actions, uint8_t version, struct weft_message *out);
// Asks to be told of every flow that is added, changed or removed from now on, by whomever.
void weft_encode_flow_monitor(uint8_t version, struct weft_message *out);
void weft_encode_echo_reply(const uint8_t *request, size_t size, struct weft_message *out);

enum weft_message_kind { WEFT_HELLO, WEFT_ERROR, WEFT_ECHO, WEFT_BARRIER, WEFT_BUNDLE, WEFT_FLOWS, WEFT_FLOW_UPDATES, WEFT_OTHER, WEFT_BROKEN };
enum { WEFT_HEADER_SIZE = 8 };
size_t weft_message_size(const uint8_t *header);
uint32_t weft_message_xid(const uint8_t *header);
enum weft_message_kind weft_message_kind(const uint8_t *data, size_t size);
uint8_t weft_hello_version(const uint8_t *data, size_t size);  // the highest common version, 0 if none
char *weft_error_text(const uint8_t *data, size_t size);
// Calls fn with each flow of a reply; the strings live during the call. False: the reply is malformed.
bool weft_flows_decode(const uint8_t *data, size_t size, const struct weft_ports *,
                       void (*fn)(void *aux, const struct weft_flow *), void *aux, bool *more);
// Whether a message of updates tells of a flow whose cookie is another than `ignored`; true also where it cannot be decoded.
bool weft_updates_concern(const uint8_t *data, size_t size, uint64_t ignored_cookie);

#ifdef __cplusplus
}
#endif
