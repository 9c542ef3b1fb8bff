// SPDX-License-Identifier: Apache-2.0
// A plain C face of libopenvswitch's IDL, because the headers of Open vSwitch are not C++. May include: the C library only.
// Nothing here locks: one thread owns every handle. Out of memory inside libopenvswitch ends the process (its own rule).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ovsdb_idl;
struct ovsdb_idl_txn;
struct ovsrec_bridge;
struct ovsrec_controller;
struct ovsrec_interface;
struct ovsrec_open_vswitch;
struct ovsrec_port;
struct smap;

// Quiets the log and lets the library install its signal handlers once, then puts the caller's back. Safe to repeat.
void weft_ovs_init(void);

// The SHA-1 of a record of a database file, in hexadecimal.
void weft_sha1_hex(const void *, size_t, char out[41]);

// The poll loop of the calling thread.
long long weft_now_ms(void);
void weft_poll_readable(int fd);
void weft_poll_until(long long ms);
void weft_poll_block(void);

// A connection that is never repeated by the library: once it is not alive, close it and open another.
struct ovsdb_idl *weft_idl_open(const char *remote);
void weft_idl_close(struct ovsdb_idl *);
void weft_idl_run(struct ovsdb_idl *);
void weft_idl_wait(struct ovsdb_idl *);
bool weft_idl_alive(const struct ovsdb_idl *);
bool weft_idl_synced(const struct ovsdb_idl *);
unsigned int weft_idl_seqno(const struct ovsdb_idl *);

// Views of rows. Pointers live until the next run or close; an absent optional value is NULL.
struct weft_root_view {
    const struct ovsrec_open_vswitch *row;
    int64_t cur_cfg, next_cfg;
    struct ovsrec_bridge *const *bridges;
    size_t n_bridges;
};
struct weft_bridge_view {
    const char *name, *datapath_type, *fail_mode;
    char *const *protocols;
    size_t n_protocols;
    const struct smap *other_config, *external_ids;
    struct ovsrec_port *const *ports;
    size_t n_ports;
    struct ovsrec_controller *const *controllers;
    size_t n_controllers;
};
struct weft_port_view {
    const char *name, *vlan_mode;
    const int64_t *tag, *trunks;
    size_t n_trunks;
    const struct smap *other_config, *external_ids;
    struct ovsrec_interface *const *interfaces;
    size_t n_interfaces;
};
struct weft_interface_view {
    const char *name, *type, *mac, *error;
    const int64_t *ofport, *mtu_request, *ofport_request;
    const struct smap *options, *external_ids;
};
bool weft_root_read(const struct ovsdb_idl *, struct weft_root_view *);
void weft_bridge_read(const struct ovsrec_bridge *, struct weft_bridge_view *);
void weft_port_read(const struct ovsrec_port *, struct weft_port_view *);
void weft_interface_read(const struct ovsrec_interface *, struct weft_interface_view *);
const char *weft_controller_target(const struct ovsrec_controller *);
const char *weft_map_get(const struct smap *, const char *key);
void weft_map_each(const struct smap *, void (*fn)(void *aux, const char *key, const char *value), void *aux);

// Transactions.
enum weft_txn_state { WEFT_TXN_PENDING, WEFT_TXN_DONE, WEFT_TXN_UNCHANGED, WEFT_TXN_AGAIN, WEFT_TXN_FAILED };
struct ovsdb_idl_txn *weft_txn_begin(struct ovsdb_idl *);
// Asks the server for a reply without changing anything; all earlier updates of the server arrive before that reply.
struct ovsdb_idl_txn *weft_txn_begin_barrier(struct ovsdb_idl *);
enum weft_txn_state weft_txn_commit(struct ovsdb_idl_txn *);
void weft_txn_wait(const struct ovsdb_idl_txn *);
void weft_txn_increment(struct ovsdb_idl_txn *, const struct ovsrec_open_vswitch *, bool always);  // next_cfg, if anything changes or always
int64_t weft_txn_new_cfg(const struct ovsdb_idl_txn *);
const char *weft_txn_error(const struct ovsdb_idl_txn *);
void weft_txn_end(struct ovsdb_idl_txn *);

// Maps of string to string, one enumerator per column. The row is of the table that the name begins with.
enum weft_map {
    WEFT_BRIDGE_OTHER_CONFIG,
    WEFT_BRIDGE_EXTERNAL_IDS,
    WEFT_PORT_OTHER_CONFIG,
    WEFT_PORT_EXTERNAL_IDS,
    WEFT_INTERFACE_OPTIONS,
    WEFT_INTERFACE_EXTERNAL_IDS,
};
void weft_map_put(const void *row, enum weft_map, const char *key, const char *value);
void weft_map_delete(const void *row, enum weft_map, const char *key);
void weft_map_fill(const void *row, enum weft_map, const char *const *keys, const char *const *values, size_t n);

// Writes. verify: the transaction is refused (state AGAIN) if the row has gone meanwhile.
struct ovsrec_open_vswitch *weft_root_insert(struct ovsdb_idl_txn *);
struct ovsrec_bridge *weft_bridge_insert(struct ovsdb_idl_txn *, const char *name);
struct ovsrec_port *weft_port_insert(struct ovsdb_idl_txn *, const char *name);
struct ovsrec_interface *weft_interface_insert(struct ovsdb_idl_txn *, const char *name);
void weft_root_set_bridges(const struct ovsrec_open_vswitch *, struct ovsrec_bridge **, size_t n);
void weft_root_add_bridge(const struct ovsrec_open_vswitch *, const struct ovsrec_bridge *);
void weft_root_drop_bridge(const struct ovsrec_open_vswitch *, const struct ovsrec_bridge *);
void weft_bridge_verify(const struct ovsrec_bridge *);
void weft_bridge_set_ports(const struct ovsrec_bridge *, struct ovsrec_port **, size_t n);
void weft_bridge_add_port(const struct ovsrec_bridge *, const struct ovsrec_port *);
void weft_bridge_drop_port(const struct ovsrec_bridge *, const struct ovsrec_port *);
void weft_bridge_set_datapath_type(const struct ovsrec_bridge *, const char *);
void weft_bridge_set_fail_mode(const struct ovsrec_bridge *, const char *or_null);
void weft_bridge_set_protocols(const struct ovsrec_bridge *, const char **, size_t n);
void weft_port_verify(const struct ovsrec_port *);
void weft_port_set_interfaces(const struct ovsrec_port *, struct ovsrec_interface **, size_t n);
void weft_port_add_interface(const struct ovsrec_port *, const struct ovsrec_interface *);
void weft_port_drop_interface(const struct ovsrec_port *, const struct ovsrec_interface *);
void weft_port_set_tag(const struct ovsrec_port *, const int64_t *or_null);
void weft_port_set_trunks(const struct ovsrec_port *, const int64_t *, size_t n);
void weft_port_set_vlan_mode(const struct ovsrec_port *, const char *or_null);
void weft_interface_verify(const struct ovsrec_interface *);
void weft_interface_set_type(const struct ovsrec_interface *, const char *);
void weft_interface_set_mac(const struct ovsrec_interface *, const char *or_null);
void weft_interface_set_mtu_request(const struct ovsrec_interface *, const int64_t *or_null);
void weft_interface_set_ofport_request(const struct ovsrec_interface *, const int64_t *or_null);

#ifdef __cplusplus
}
#endif
