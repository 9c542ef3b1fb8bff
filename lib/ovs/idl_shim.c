// SPDX-License-Identifier: Apache-2.0
// Implements idl_shim.h over libopenvswitch's generated vswitch-idl. The only file, beside flow_codec.c, that includes headers
// of Open vSwitch. It keeps no state of its own but the one-time initialisation.
#include <config.h>

#include "idl_shim.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "entropy.h"
#include "fatal-signal.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "ovsdb-idl.h"
#include "sha1.h"
#include "smap.h"
#include "timeval.h"
#include "vswitch-idl.h"

// ARRAY_SIZE of util.h refuses some of the arrays below, so this is the plain one.
#define COUNT(ARRAY) (sizeof(ARRAY) / sizeof *(ARRAY))

// In place of the library's own, which opens /dev/urandom anew in each thread that needs a random number, and ends the program where it
// cannot, as with no descriptor left. The kernel's call needs none, and does not fail once the machine has started.
int get_entropy(void *buffer, size_t n) {
    for (size_t have = 0; have < n;) {
        const ssize_t more = getrandom((char *) buffer + have, n - have, 0);
        if (more < 0 && errno != EINTR) {
            return errno;
        }
        have += more > 0 ? (size_t) more : 0;
    }
    return 0;
}

void get_entropy_or_die(void *buffer, size_t n) {
    if (get_entropy(buffer, n) != 0) {
        abort();
    }
}

static void init_once(void) {
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGALRM, SIGSEGV};
    struct sigaction before[COUNT(signals)];
    const char *level = getenv("WEFT_OVS_LOG");

    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF);
    if (level && *level && strcmp(level, "0")) {
        vlog_set_levels(NULL, VLF_CONSOLE, strcmp(level, "debug") ? VLL_INFO : VLL_DBG);
    }
    // The library would take these signals from the program; a library within it has no right to them.
    for (size_t i = 0; i < COUNT(signals); i++) {
        sigaction(signals[i], NULL, &before[i]);
    }
    fatal_signal_init();
    for (size_t i = 0; i < COUNT(signals); i++) {
        sigaction(signals[i], &before[i], NULL);
    }
}

void weft_ovs_init(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_once);
}

void weft_sha1_hex(const void *data, size_t size, char out[41]) {
    uint8_t digest[SHA1_DIGEST_SIZE];

    sha1_bytes(data, (uint32_t) size, digest);
    sha1_to_hex(digest, out);
}

long long weft_now_ms(void) { return time_msec(); }
void weft_poll_readable(int fd) { poll_fd_wait(fd, POLLIN); }
void weft_poll_until(long long ms) { poll_timer_wait_until(ms); }
void weft_poll_block(void) { poll_block(); }

struct ovsdb_idl *weft_idl_open(const char *remote) {
    struct ovsdb_idl *idl = ovsdb_idl_create(remote, &ovsrec_idl_class, false, false);
    const struct ovsdb_idl_column *columns[] = {
        &ovsrec_open_vswitch_col_bridges,    &ovsrec_open_vswitch_col_cur_cfg,     &ovsrec_open_vswitch_col_next_cfg,
        &ovsrec_bridge_col_name,             &ovsrec_bridge_col_ports,             &ovsrec_bridge_col_datapath_type,
        &ovsrec_bridge_col_fail_mode,        &ovsrec_bridge_col_protocols,         &ovsrec_bridge_col_other_config,
        &ovsrec_bridge_col_external_ids,     &ovsrec_port_col_name,                &ovsrec_port_col_interfaces,
        &ovsrec_port_col_tag,                &ovsrec_port_col_trunks,              &ovsrec_port_col_vlan_mode,
        &ovsrec_port_col_other_config,       &ovsrec_port_col_external_ids,        &ovsrec_interface_col_name,
        &ovsrec_interface_col_type,          &ovsrec_interface_col_options,        &ovsrec_interface_col_external_ids,
        &ovsrec_interface_col_mac,           &ovsrec_interface_col_mtu_request,    &ovsrec_interface_col_ofport,
        &ovsrec_interface_col_error,         &ovsrec_interface_col_ofport_request, &ovsrec_bridge_col_controller,
        &ovsrec_controller_col_target,
    };
    for (size_t i = 0; i < COUNT(columns); i++) {
        ovsdb_idl_add_column(idl, columns[i]);
    }
    return idl;
}
void weft_idl_close(struct ovsdb_idl *idl) { ovsdb_idl_destroy(idl); }
void weft_idl_run(struct ovsdb_idl *idl) { ovsdb_idl_run(idl); }
void weft_idl_wait(struct ovsdb_idl *idl) { ovsdb_idl_wait(idl); }
bool weft_idl_alive(const struct ovsdb_idl *idl) { return ovsdb_idl_is_alive(idl); }
bool weft_idl_synced(const struct ovsdb_idl *idl) { return ovsdb_idl_is_connected(idl) && ovsdb_idl_has_ever_connected(idl); }
unsigned int weft_idl_seqno(const struct ovsdb_idl *idl) { return ovsdb_idl_get_seqno(idl); }

bool weft_root_read(const struct ovsdb_idl *idl, struct weft_root_view *v) {
    const struct ovsrec_open_vswitch *row = ovsrec_open_vswitch_first(idl);
    memset(v, 0, sizeof *v);
    if (!row) {
        return false;
    }
    *v = (struct weft_root_view){row, row->cur_cfg, row->next_cfg, row->bridges, row->n_bridges};
    return true;
}
void weft_bridge_read(const struct ovsrec_bridge *r, struct weft_bridge_view *v) {
    *v = (struct weft_bridge_view){r->name,          r->datapath_type, r->fail_mode, r->protocols, r->n_protocols,
                                   &r->other_config, &r->external_ids, r->ports,     r->n_ports,   r->controller,
                                   r->n_controller};
}
void weft_port_read(const struct ovsrec_port *r, struct weft_port_view *v) {
    *v = (struct weft_port_view){r->name,       r->vlan_mode,     r->n_tag ? r->tag : NULL, r->trunks,
                                 r->n_trunks,   &r->other_config, &r->external_ids,         r->interfaces,
                                 r->n_interfaces};
}
void weft_interface_read(const struct ovsrec_interface *r, struct weft_interface_view *v) {
    *v = (struct weft_interface_view){r->name,
                                      r->type,
                                      r->mac,
                                      r->error,
                                      r->n_ofport ? r->ofport : NULL,
                                      r->n_mtu_request ? r->mtu_request : NULL,
                                      r->n_ofport_request ? r->ofport_request : NULL,
                                      &r->options,
                                      &r->external_ids};
}
const char *weft_controller_target(const struct ovsrec_controller *r) { return r->target; }
const char *weft_map_get(const struct smap *map, const char *key) { return smap_get(map, key); }
void weft_map_each(const struct smap *map, void (*fn)(void *, const char *, const char *), void *aux) {
    const struct smap_node *node;
    SMAP_FOR_EACH (node, map) {
        fn(aux, node->key, node->value);
    }
}

struct ovsdb_idl_txn *weft_txn_begin(struct ovsdb_idl *idl) { return ovsdb_idl_txn_create(idl); }
struct ovsdb_idl_txn *weft_txn_begin_barrier(struct ovsdb_idl *idl) {
    struct ovsdb_idl_txn *txn = ovsdb_idl_txn_create(idl);
    const struct ovsrec_open_vswitch *root = ovsrec_open_vswitch_first(idl);
    // An aborted increment is the smallest transaction that the IDL is willing to send.
    ovsdb_idl_txn_set_dry_run(txn);
    if (root) {
        ovsdb_idl_txn_increment(txn, &root->header_, &ovsrec_open_vswitch_col_next_cfg, true);
    } else {
        ovsrec_open_vswitch_insert(txn);
    }
    return txn;
}
enum weft_txn_state weft_txn_commit(struct ovsdb_idl_txn *txn) {
    switch (ovsdb_idl_txn_commit(txn)) {
    case TXN_INCOMPLETE: return WEFT_TXN_PENDING;
    case TXN_SUCCESS: return WEFT_TXN_DONE;
    case TXN_UNCHANGED: return WEFT_TXN_UNCHANGED;
    case TXN_TRY_AGAIN: return WEFT_TXN_AGAIN;
    case TXN_UNCOMMITTED:
    case TXN_ABORTED:
    case TXN_NOT_LOCKED:
    case TXN_ERROR: break;
    }
    return WEFT_TXN_FAILED;
}
void weft_txn_wait(const struct ovsdb_idl_txn *txn) { ovsdb_idl_txn_wait(txn); }
void weft_txn_increment(struct ovsdb_idl_txn *txn, const struct ovsrec_open_vswitch *root, bool always) {
    ovsdb_idl_txn_increment(txn, &root->header_, &ovsrec_open_vswitch_col_next_cfg, always);
}
int64_t weft_txn_new_cfg(const struct ovsdb_idl_txn *txn) { return ovsdb_idl_txn_get_increment_new_value(txn); }
const char *weft_txn_error(const struct ovsdb_idl_txn *txn) { return ovsdb_idl_txn_get_error(txn); }
void weft_txn_end(struct ovsdb_idl_txn *txn) { ovsdb_idl_txn_destroy(txn); }

#define FOR_EACH_MAP(DO)                                        \
    DO(WEFT_BRIDGE_OTHER_CONFIG, bridge, other_config)          \
    DO(WEFT_BRIDGE_EXTERNAL_IDS, bridge, external_ids)          \
    DO(WEFT_PORT_OTHER_CONFIG, port, other_config)              \
    DO(WEFT_PORT_EXTERNAL_IDS, port, external_ids)              \
    DO(WEFT_INTERFACE_OPTIONS, interface, options)              \
    DO(WEFT_INTERFACE_EXTERNAL_IDS, interface, external_ids)

void weft_map_put(const void *row, enum weft_map map, const char *key, const char *value) {
    switch (map) {
#define PUT(WHICH, TABLE, COLUMN) case WHICH: ovsrec_##TABLE##_update_##COLUMN##_setkey(row, key, value); break;
        FOR_EACH_MAP(PUT)
    }
}
void weft_map_delete(const void *row, enum weft_map map, const char *key) {
    switch (map) {
#define DELETE_KEY(WHICH, TABLE, COLUMN) case WHICH: ovsrec_##TABLE##_update_##COLUMN##_delkey(row, key); break;
        FOR_EACH_MAP(DELETE_KEY)
    }
}
void weft_map_fill(const void *row, enum weft_map map, const char *const *keys, const char *const *values, size_t n) {
    struct smap s = SMAP_INITIALIZER(&s);
    for (size_t i = 0; i < n; i++) {
        smap_replace(&s, keys[i], values[i]);
    }
    switch (map) {
#define FILL(WHICH, TABLE, COLUMN) case WHICH: ovsrec_##TABLE##_set_##COLUMN(row, &s); break;
        FOR_EACH_MAP(FILL)
    }
    smap_destroy(&s);
}

struct ovsrec_open_vswitch *weft_root_insert(struct ovsdb_idl_txn *txn) { return ovsrec_open_vswitch_insert(txn); }
struct ovsrec_bridge *weft_bridge_insert(struct ovsdb_idl_txn *txn, const char *name) {
    struct ovsrec_bridge *row = ovsrec_bridge_insert(txn);
    ovsrec_bridge_set_name(row, name);
    return row;
}
struct ovsrec_port *weft_port_insert(struct ovsdb_idl_txn *txn, const char *name) {
    struct ovsrec_port *row = ovsrec_port_insert(txn);
    ovsrec_port_set_name(row, name);
    return row;
}
struct ovsrec_interface *weft_interface_insert(struct ovsdb_idl_txn *txn, const char *name) {
    struct ovsrec_interface *row = ovsrec_interface_insert(txn);
    ovsrec_interface_set_name(row, name);
    return row;
}
void weft_root_set_bridges(const struct ovsrec_open_vswitch *row, struct ovsrec_bridge **bridges, size_t n) {
    ovsrec_open_vswitch_set_bridges(row, bridges, n);
}
void weft_root_add_bridge(const struct ovsrec_open_vswitch *row, const struct ovsrec_bridge *bridge) {
    ovsrec_open_vswitch_update_bridges_addvalue(row, bridge);
}
void weft_root_drop_bridge(const struct ovsrec_open_vswitch *row, const struct ovsrec_bridge *bridge) {
    ovsrec_open_vswitch_update_bridges_delvalue(row, bridge);
}
void weft_bridge_verify(const struct ovsrec_bridge *row) { ovsrec_bridge_verify_name(row); }
void weft_bridge_set_ports(const struct ovsrec_bridge *row, struct ovsrec_port **ports, size_t n) {
    ovsrec_bridge_set_ports(row, ports, n);
}
void weft_bridge_add_port(const struct ovsrec_bridge *row, const struct ovsrec_port *port) {
    ovsrec_bridge_update_ports_addvalue(row, port);
}
void weft_bridge_drop_port(const struct ovsrec_bridge *row, const struct ovsrec_port *port) {
    ovsrec_bridge_update_ports_delvalue(row, port);
}
void weft_bridge_set_datapath_type(const struct ovsrec_bridge *row, const char *v) { ovsrec_bridge_set_datapath_type(row, v); }
void weft_bridge_set_fail_mode(const struct ovsrec_bridge *row, const char *v) { ovsrec_bridge_set_fail_mode(row, v); }
void weft_bridge_set_protocols(const struct ovsrec_bridge *row, const char **v, size_t n) {
    ovsrec_bridge_set_protocols(row, v, n);
}
void weft_port_verify(const struct ovsrec_port *row) { ovsrec_port_verify_name(row); }
void weft_port_set_interfaces(const struct ovsrec_port *row, struct ovsrec_interface **v, size_t n) {
    ovsrec_port_set_interfaces(row, v, n);
}
void weft_port_add_interface(const struct ovsrec_port *row, const struct ovsrec_interface *v) {
    ovsrec_port_update_interfaces_addvalue(row, v);
}
void weft_port_drop_interface(const struct ovsrec_port *row, const struct ovsrec_interface *v) {
    ovsrec_port_update_interfaces_delvalue(row, v);
}
void weft_port_set_tag(const struct ovsrec_port *row, const int64_t *v) { ovsrec_port_set_tag(row, v, v ? 1 : 0); }
void weft_port_set_trunks(const struct ovsrec_port *row, const int64_t *v, size_t n) { ovsrec_port_set_trunks(row, v, n); }
void weft_port_set_vlan_mode(const struct ovsrec_port *row, const char *v) { ovsrec_port_set_vlan_mode(row, v); }
void weft_interface_verify(const struct ovsrec_interface *row) { ovsrec_interface_verify_name(row); }
void weft_interface_set_type(const struct ovsrec_interface *row, const char *v) { ovsrec_interface_set_type(row, v); }
void weft_interface_set_mac(const struct ovsrec_interface *row, const char *v) { ovsrec_interface_set_mac(row, v); }
void weft_interface_set_mtu_request(const struct ovsrec_interface *row, const int64_t *v) {
    ovsrec_interface_set_mtu_request(row, v, v ? 1 : 0);
}
void weft_interface_set_ofport_request(const struct ovsrec_interface *row, const int64_t *v) {
    ovsrec_interface_set_ofport_request(row, v, v ? 1 : 0);
}
