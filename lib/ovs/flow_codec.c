// SPDX-License-Identifier: Apache-2.0
// Implements flow_codec.h with libopenvswitch's pure encode and decode functions. One of the two files that include headers of
// Open vSwitch. Parsers answer with text; a message that cannot be decoded is reported as broken, never asserted upon.
#include <config.h>

#include "flow_codec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "openflow/openflow.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/match.h"
#include "openvswitch/ofp-actions.h"
#include "openvswitch/ofp-bundle.h"
#include "openvswitch/ofp-errors.h"
#include "openvswitch/ofp-flow.h"
#include "openvswitch/ofp-monitor.h"
#include "openvswitch/ofp-msgs.h"
#include "openvswitch/ofp-packet.h"
#include "openvswitch/ofp-port.h"
#include "openvswitch/ofp-protocol.h"
#include "openvswitch/ofp-util.h"
#include "openvswitch/ofpbuf.h"
#include "byte-order.h"
#include "csum.h"
#include "dp-packet.h"
#include "flow.h"
#include "packets.h"
#include "util.h"

enum { BUNDLE_FLAGS = OFPBF_ATOMIC | OFPBF_ORDERED, VERSIONS = 1u << OFP13_VERSION | 1u << OFP14_VERSION };
enum { TYPE_HELLO = 0, TYPE_ECHO_REPLY = 3 };  // the same numbers in every version of OpenFlow

struct weft_ports {
    struct ofputil_port_map map;
};

struct weft_ports *weft_ports_new(void) {
    struct weft_ports *p = xmalloc(sizeof *p);
    ofputil_port_map_init(&p->map);
    return p;
}
void weft_ports_put(struct weft_ports *p, uint32_t number, const char *name) {
    if (number < ofp_to_u16(OFPP_MAX) || number == ofp_to_u16(OFPP_LOCAL)) {
        ofputil_port_map_put(&p->map, u16_to_ofp(number), name);
    }
}
void weft_ports_free(struct weft_ports *p) {
    if (p) {
        ofputil_port_map_destroy(&p->map);
        free(p);
    }
}

static enum ofputil_protocol protocol_of(uint8_t version) {
    return ofputil_protocol_from_ofp_version((enum ofp_version) version);
}

static void hand_out(struct ofpbuf *b, struct weft_message *out) {
    ofpmsg_update_length(b);
    const struct ofp_header *oh = b->data;
    out->xid = ntohl(oh->xid);
    out->size = b->size;
    out->data = xmemdup(b->data, b->size);
    ofpbuf_delete(b);
}

static void print_flow(const struct ofputil_flow_stats *fs, const struct weft_ports *ports, struct weft_flow *out) {
    struct ds match = DS_EMPTY_INITIALIZER, actions = DS_EMPTY_INITIALIZER;
    struct ofpact_format_params params = {.port_map = &ports->map, .s = &actions};
    match_format(&fs->match, &ports->map, &match, OFP_DEFAULT_PRIORITY);
    ofpacts_format(fs->ofpacts, fs->ofpacts_len, &params);
    *out = (struct weft_flow){ntohll(fs->cookie), fs->table_id,         fs->priority,        fs->idle_timeout,
                              fs->hard_timeout,   ds_steal_cstr(&match), ds_steal_cstr(&actions)};
}

static char *parse(const char *text, int command, uint8_t version, const struct weft_ports *ports, struct ofputil_flow_mod *fm) {
    enum ofputil_protocol usable = 0;
    // parse_ofp_str takes all the text at once, so that a failure leaves nothing to free but what the library itself leaks.
    char *error = parse_ofp_str(fm, command, text, &ports->map, NULL, &usable);
    if (error) {
        return error;
    }
    if (!(usable & protocol_of(version))) {
        free(fm->ofpacts);
        minimatch_destroy(&fm->match);
        return xasprintf("cannot be expressed in OpenFlow 1.%d", version - 1);
    }
    return NULL;
}

static void drop_flow_mod(struct ofputil_flow_mod *fm) {
    free(fm->ofpacts);
    minimatch_destroy(&fm->match);
}

char *weft_flow_canonical(const char *text, const struct weft_ports *ports, struct weft_flow *out) {
    struct ofputil_flow_mod fm;
    char *error = parse(text, OFPFC_ADD, OFP14_VERSION, ports, &fm);
    if (error) {
        return error;
    }
    struct ofpbuf *request = ofputil_encode_flow_mod(&fm, OFPUTIL_P_OF14_OXM);
    ofpmsg_update_length(request);
    drop_flow_mod(&fm);

    struct ofpbuf ofpacts;
    ofpbuf_init(&ofpacts, 256);
    enum ofperr err = ofputil_decode_flow_mod(&fm, request->data, OFPUTIL_P_OF14_OXM, NULL, NULL, &ofpacts, OFPP_MAX, 255);
    ofpbuf_delete(request);
    if (err) {
        ofpbuf_uninit(&ofpacts);
        return xasprintf("the switch would refuse it: %s", ofperr_to_string(err));
    }
    struct ofputil_flow_stats fs = {.cookie = fm.new_cookie,
                                    .table_id = fm.table_id,
                                    .priority = fm.priority,
                                    .idle_timeout = fm.idle_timeout,
                                    .hard_timeout = fm.hard_timeout,
                                    .ofpacts = fm.ofpacts,
                                    .ofpacts_len = fm.ofpacts_len};
    minimatch_expand(&fm.match, &fs.match);
    minimatch_destroy(&fm.match);

    struct ofputil_flow_stats_request fsr = {.table_id = OFPTT_ALL, .out_port = OFPP_ANY, .out_group = OFPG_ANY};
    match_init_catchall(&fsr.match);
    struct ofpbuf *dump = ofputil_encode_flow_stats_request(&fsr, OFPUTIL_P_OF14_OXM);
    ofpmsg_update_length(dump);
    struct ovs_list replies;
    ofpmp_init(&replies, dump->data);
    ofpbuf_delete(dump);
    ofputil_append_flow_stats_reply(&fs, &replies, NULL);
    ofpbuf_uninit(&ofpacts);
    struct ofpbuf *reply;
    LIST_FOR_EACH (reply, list_node, &replies) {
        ofpmsg_update_length(reply);
    }
    reply = ofpbuf_from_list(ovs_list_front(&replies));
    reply->header = NULL;
    reply->msg = NULL;

    struct ofputil_flow_stats seen;
    ofpbuf_init(&ofpacts, 256);
    if (ofputil_decode_flow_stats_reply(&seen, reply, false, &ofpacts)) {
        error = xstrdup("cannot be decoded again");
    } else {
        print_flow(&seen, ports, out);
    }
    ofpbuf_uninit(&ofpacts);
    ofpbuf_list_delete(&replies);
    return error;
}

char *weft_flow_encode_bundled(const char *text, bool strict_delete, uint8_t version, uint32_t bundle, const struct weft_ports *ports,
                               struct weft_message *out) {
    struct ofputil_flow_mod fm;
    char *error = parse(text, strict_delete ? OFPFC_DELETE_STRICT : OFPFC_ADD, version, ports, &fm);
    if (error) {
        return error;
    }
    struct ofpbuf *inner = ofputil_encode_flow_mod(&fm, protocol_of(version));
    ofpmsg_update_length(inner);
    drop_flow_mod(&fm);
    struct ofputil_bundle_add_msg add = {.bundle_id = bundle, .flags = BUNDLE_FLAGS, .msg = inner->data};
    // The length of an OpenFlow message has 16 bits; the header of the bundle takes some of them.
    if (inner->size > UINT16_MAX - 64) {
        ofpbuf_delete(inner);
        return xstrdup("the flow is too long for one OpenFlow message");
    }
    hand_out(ofputil_encode_bundle_add((enum ofp_version) version, &add), out);
    ofpbuf_delete(inner);
    return NULL;
}

void weft_encode_hello(struct weft_message *out) { hand_out(ofputil_encode_hello(VERSIONS), out); }
void weft_encode_bundle(enum weft_bundle_step step, uint8_t version, uint32_t bundle, struct weft_message *out) {
    struct ofputil_bundle_ctrl_msg bc = {.bundle_id = bundle,
                                         .flags = BUNDLE_FLAGS,
                                         .type = step == WEFT_BUNDLE_OPEN     ? OFPBCT_OPEN_REQUEST
                                                 : step == WEFT_BUNDLE_COMMIT ? OFPBCT_COMMIT_REQUEST
                                                                              : OFPBCT_DISCARD_REQUEST};
    hand_out(ofputil_encode_bundle_ctrl_request((enum ofp_version) version, &bc), out);
}
void weft_encode_barrier(uint8_t version, struct weft_message *out) {
    hand_out(ofputil_encode_barrier_request((enum ofp_version) version), out);
}
void weft_encode_flow_dump(uint8_t version, struct weft_message *out) {
    struct ofputil_flow_stats_request fsr = {.table_id = OFPTT_ALL, .out_port = OFPP_ANY, .out_group = OFPG_ANY};
    match_init_catchall(&fsr.match);
    hand_out(ofputil_encode_flow_stats_request(&fsr, protocol_of(version)), out);
}
void weft_encode_flow_monitor(uint8_t version, struct weft_message *out) {
    struct ofputil_flow_monitor_request request = {.id = 1,
                                                   .command = OFPFMC_ADD,
                                                   .flags = OFPFMF_ADD | OFPFMF_REMOVED | OFPFMF_MODIFY,
                                                   .out_port = OFPP_ANY,
                                                   .out_group = OFPG_ANY,
                                                   .table_id = OFPTT_ALL};
    match_init_catchall(&request.match);
    struct ofpbuf *b = ofpbuf_new(0);
    ofputil_append_flow_monitor_request(&request, b, protocol_of(version));
    hand_out(b, out);
}
// The identifier of an echo is no field of a flow; it is put into the packet that was made with 0.
static void set_echo_id(struct dp_packet *packet, const struct flow *flow, uint16_t id) {
    const ovs_be16 now = htons(id);
    if (flow->dl_type == htons(ETH_TYPE_IP) && flow->nw_proto == IPPROTO_ICMP) {
        struct icmp_header *icmp = dp_packet_l4(packet);
        icmp->icmp_csum = recalc_csum16(icmp->icmp_csum, icmp->icmp_fields.echo.id, now);
        icmp->icmp_fields.echo.id = now;
    } else if (flow->dl_type == htons(ETH_TYPE_IPV6) && flow->nw_proto == IPPROTO_ICMPV6 && dp_packet_l4_size(packet) >= 8) {
        struct icmp6_data_header *icmp = dp_packet_l4(packet);
        icmp->icmp6_base.icmp6_cksum = recalc_csum16(icmp->icmp6_base.icmp6_cksum, icmp->icmp6_data.be16[0], now);
        icmp->icmp6_data.be16[0] = now;
    }
}

char *weft_encode_packet_out(const char *flow_text, uint16_t icmp_id, const char *actions, uint8_t version, struct weft_message *out) {
    struct flow flow;
    char *error = parse_ofp_exact_flow(&flow, NULL, NULL, flow_text, NULL);
    if (error) {
        return error;
    }
    enum ofputil_protocol usable = 0;
    struct ofpbuf ofpacts;
    ofpbuf_init(&ofpacts, 0);
    const struct ofpact_parse_params params = {.ofpacts = &ofpacts, .usable_protocols = &usable};
    error = ofpacts_parse_actions(actions, &params);
    if (error) {
        ofpbuf_uninit(&ofpacts);
        return error;
    }
    struct dp_packet packet;
    dp_packet_init(&packet, 0);
    flow_compose(&packet, &flow, NULL, 0);
    set_echo_id(&packet, &flow, icmp_id);
    struct ofputil_packet_out po = {.packet = dp_packet_data(&packet),
                                    .packet_len = dp_packet_size(&packet),
                                    .buffer_id = UINT32_MAX,
                                    .ofpacts = ofpacts.data,
                                    .ofpacts_len = ofpacts.size};
    match_init_catchall(&po.flow_metadata);
    match_set_in_port(&po.flow_metadata, OFPP_CONTROLLER);
    hand_out(ofputil_encode_packet_out(&po, protocol_of(version)), out);
    dp_packet_uninit(&packet);
    ofpbuf_uninit(&ofpacts);
    return NULL;
}

void weft_encode_echo_reply(const uint8_t *request, size_t size, struct weft_message *out) {
    out->data = xmemdup(request, size);
    out->size = size;
    out->xid = weft_message_xid(request);
    out->data[1] = TYPE_ECHO_REPLY;  // same xid and same payload: only the type differs
}

size_t weft_message_size(const uint8_t *header) { return (size_t) header[2] << 8 | header[3]; }
uint32_t weft_message_xid(const uint8_t *h) { return (uint32_t) h[4] << 24 | (uint32_t) h[5] << 16 | (uint32_t) h[6] << 8 | h[7]; }

enum weft_message_kind weft_message_kind(const uint8_t *data, size_t size) {
    enum ofptype type;
    struct ofpbuf b = ofpbuf_const_initializer(data, size);
    if (size < WEFT_HEADER_SIZE) {
        return WEFT_BROKEN;
    }
    if (data[1] == TYPE_HELLO) {
        return WEFT_HELLO;  // may be of a version that this library has never heard of
    }
    if (ofptype_pull(&type, &b)) {
        return WEFT_BROKEN;
    }
    switch ((int) type) {
    case OFPTYPE_ERROR: return WEFT_ERROR;
    case OFPTYPE_ECHO_REQUEST: return WEFT_ECHO;
    case OFPTYPE_BARRIER_REPLY: return WEFT_BARRIER;
    case OFPTYPE_BUNDLE_CONTROL: return WEFT_BUNDLE;
    case OFPTYPE_FLOW_STATS_REPLY: return WEFT_FLOWS;
    case OFPTYPE_FLOW_MONITOR_STATS_REPLY: return WEFT_FLOW_UPDATES;
    default: return WEFT_OTHER;
    }
}
uint8_t weft_hello_version(const uint8_t *data, size_t size) {
    uint32_t theirs = 0;
    if (size < WEFT_HEADER_SIZE) {
        return 0;
    }
    ofputil_decode_hello((const struct ofp_header *) data, &theirs);
    uint32_t common = theirs & VERSIONS;
    return common & 1u << OFP14_VERSION ? OFP14_VERSION : common & 1u << OFP13_VERSION ? OFP13_VERSION : 0;
}
char *weft_error_text(const uint8_t *data, size_t size) {
    if (size < WEFT_HEADER_SIZE) {
        return xstrdup("truncated error");
    }
    struct ofpbuf payload;
    enum ofperr err = ofperr_decode_msg((const struct ofp_header *) data, &payload);
    if (!err) {
        return xstrdup("an error that this library does not know");
    }
    ofpbuf_uninit(&payload);
    return xasprintf("%s: %s", ofperr_get_name(err), ofperr_get_description(err));
}

bool weft_flows_decode(const uint8_t *data, size_t size, const struct weft_ports *ports,
                       void (*fn)(void *, const struct weft_flow *), void *aux, bool *more) {
    struct ofpbuf b = ofpbuf_const_initializer(data, size);
    *more = ofpmp_more((const struct ofp_header *) data);
    for (;;) {
        struct ofputil_flow_stats fs;
        struct ofpbuf ofpacts;
        ofpbuf_init(&ofpacts, 256);
        int answer = ofputil_decode_flow_stats_reply(&fs, &b, false, &ofpacts);
        if (!answer) {
            struct weft_flow flow;
            print_flow(&fs, ports, &flow);
            fn(aux, &flow);
            free(flow.match);
            free(flow.actions);
        }
        ofpbuf_uninit(&ofpacts);
        if (answer) {
            return answer == EOF;
        }
    }
}

bool weft_updates_concern(const uint8_t *data, size_t size, uint64_t ignored_cookie) {
    struct ofpbuf b = ofpbuf_const_initializer(data, size);
    bool concern = false;
    for (int answer = 0; !answer && !concern;) {
        struct ofputil_flow_update update;
        struct ofpbuf ofpacts;
        ofpbuf_init(&ofpacts, 256);
        answer = ofputil_decode_flow_update(&update, &b, &ofpacts);
        concern = answer ? answer != EOF : update.event > OFPFME_MODIFIED || ntohll(update.cookie) != ignored_cookie;
        ofpbuf_uninit(&ofpacts);
    }
    return concern;
}
