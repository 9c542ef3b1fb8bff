// SPDX-License-Identifier: Apache-2.0
// The verbs of the program: what a command line holds once it is read, and one row per verb in a table that both
// dispatches and prints the help. A verb returns the exit status; what fails throws weft::exception. May include: weft
// headers.
#pragma once

#include <string>
#include <vector>

#include "weft/apply/apply.hpp"

namespace weft::cli {

struct options {
    std::string file, node, name, fabric, member;
    std::string lock;  // --lock: another lock file than the one beside FILE
    std::string peer, key, gateway_key, preshared;  // of vpn: who, and whose keys
    std::string plan;  // --plan: what was agreed to
    std::uint32_t confirm = 0;  // --confirm: seconds
    bool boot = false;  // --boot: nobody stands behind this run
    bool json = false, follow = false, discard = false, heal = false;
    apply::place place;
    std::vector<std::string> command;  // what stands behind "--"
};

// Which arguments a verb takes.
enum takes : unsigned {
    takes_file = 1,
    takes_node = 2,
    takes_place = 4,
    takes_json = 8,
    takes_name = 16,
    takes_lab = 32,
    takes_member = 64,
    takes_fabric = 128,
    takes_lock = 256,
    takes_optional_file = 512,
    takes_follow = 1024,
    takes_plan = 2048,
    takes_confirm = 4096,
    takes_discard = 8192,
    takes_heal = 16384,
    takes_key = 32768,
    takes_peer = 65536,
};

struct verb {
    const char* group;  // "", "lab" or "vpn"
    const char* name;
    const char* help;
    unsigned takes;
    int (*run)(const options&);
};

int check(const options&);
int allocate(const options&);
int compile(const options&);

int show(const options&);
int plan(const options&);
int apply(const options&);
int remove(const options&);
int watch(const options&);

int confirm(const options&);
int rollback(const options&);
int recover(const options&);

int lab_up(const options&);
int lab_down(const options&);
int lab_list(const options&);
int lab_status(const options&);
int lab_exec(const options&);
int lab_test(const options&);

int vpn_key(const options&);
int vpn_client(const options&);

}  // namespace weft::cli
