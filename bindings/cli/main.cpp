// SPDX-License-Identifier: Apache-2.0
// The program `weft`: reads the command line against the table of verbs and runs one of them. Every failure ends here
// and becomes one line `weft: <message>` on standard error and status 1. May include: weft headers and CLI11.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstring>

#include "verbs.hpp"
#include "weft/core/error.hpp"

namespace {

using namespace weft::cli;

constexpr verb verbs[] = {
    {"", "check", "parse and validate a fabric file, cross-node checks included", takes_file | takes_json, check},
    {"", "allocate", "fill what the file leaves open and write the lock beside it",
     takes_file | takes_lock | takes_json, allocate},
    {"", "compile", "print the wanted state of one node", takes_file | takes_node | takes_lock | takes_json, compile},
    {"", "show", "print the live state of this host; with FILE and --node also all that the file names",
     takes_optional_file | takes_node | takes_place | takes_lock | takes_json, show},
    {"", "plan", "print the steps from the live to the wanted state; status 0 nothing to do, 2 changes, 1 error",
     takes_file | takes_node | takes_place | takes_lock | takes_json, plan},
    {"", "apply", "plan, execute, and undo on failure; with --follow stay and bind the ports that are plugged later",
     takes_file | takes_node | takes_place | takes_lock | takes_json | takes_follow | takes_plan | takes_confirm, apply},
    {"", "watch", "tell what differs from the wanted state as it happens; with --heal put it back",
     takes_file | takes_node | takes_place | takes_lock | takes_json | takes_heal, watch},
    {"", "remove", "take weft off this host", takes_node | takes_fabric | takes_place | takes_json | takes_confirm, remove},
    {"", "confirm", "make the change that waits for it final", takes_place | takes_json, confirm},
    {"", "rollback", "take back the change that waits to be confirmed, now", takes_place | takes_json, rollback},
    {"", "recover", "finish or undo what a run left that was killed, or that a restart of the machine cut off",
     takes_place | takes_json | takes_discard, recover},
    {"lab", "up", "bring a whole fabric up on this machine", takes_file | takes_name | takes_lock, lab_up},
    {"lab", "down", "take a lab down, also one half made", takes_lab, lab_down},
    {"lab", "list", "the labs that stand on this machine", takes_json, lab_list},
    {"lab", "status", "the members of a lab", takes_lab | takes_json, lab_status},
    {"lab", "exec", "become a command on a member: exec [LAB/]NODE [-- CMD...]; without CMD a shell", takes_member,
     lab_exec},
    {"lab", "test", "send the packets of every expectation and print the matrix; status 0 if all is as expected",
     takes_file | takes_name | takes_lock | takes_json, lab_test},
    {"vpn", "key", "make a WireGuard key in a new file that only its owner can read, and print its public half", takes_key, vpn_key},
    {"vpn", "client", "print a client's configuration for wg-quick, on a terminal also as a QR code", takes_file | takes_node | takes_lock | takes_peer,
     vpn_client},
};

void add_arguments(CLI::App& sub, const verb& v, options& o) {
    if (v.takes & takes_key) sub.add_option("FILE", o.key, "where the private key goes; nothing must be there yet")->required();
    if (v.takes & takes_file) sub.add_option("FILE", o.file, "the fabric file")->required();
    if (v.takes & takes_optional_file) sub.add_option("FILE", o.file, "a fabric file");
    if (v.takes & takes_node) {
        auto* node = sub.add_option("--node", o.node, "the node of the fabric that this host is");
        if (!(v.takes & (takes_optional_file | takes_peer))) node->required();
    }
    if (v.takes & takes_fabric)
        sub.add_option("--fabric", o.fabric, "the fabric's name; found by its marks where they say it");
    if (v.takes & takes_name) sub.add_option("--name", o.name, "the lab's name (default: the fabric's)");
    if (v.takes & takes_lab) sub.add_option("NAME", o.name, "the lab; not needed where only one stands");
    if (v.takes & takes_member)
        sub.add_option("MEMBER", o.member, "[LAB/]NODE, a VM (tenant/port or port) or an outside host")->required();
    if (v.takes & takes_lock) sub.add_option("--lock", o.lock, "another lock file than the one beside FILE");
    if (v.takes & takes_place) {
        sub.add_option("--netns", o.place.netns, "a named network namespace instead of the host's own");
        sub.add_option("--ovs-rundir", o.place.ovs_rundir, "the run directory of Open vSwitch")->capture_default_str();
    }
    if (v.takes & takes_follow)
        sub.add_flag("--follow", o.follow, "stay, and apply anew when a port is plugged into br-int or leaves it");
    if (v.takes & takes_heal)
        sub.add_flag("--heal", o.heal, "put back what is weft's and was changed or deleted by others");
    if (v.takes & takes_plan)
        sub.add_option("--plan", o.plan, "only if the steps are those of this file, which `weft plan --json` printed");
    if (v.takes & takes_confirm)
        sub.add_option("--confirm", o.confirm, "seconds: all is undone unless `weft confirm` comes in time")
            ->check(CLI::Range(std::uint32_t{1}, weft::apply::max_confirm));
    if (v.takes & takes_confirm && v.takes & takes_file)
        sub.add_flag("--boot", o.boot, "as a unit at boot runs it: where FILE's change was not confirmed, what was confirmed last is applied instead");
    if (v.takes & takes_discard)
        sub.add_flag("--discard", o.discard, "do not look at the journal, keep it under another name, and bring the node to what it was last made from");
    if (v.takes & takes_peer) {
        sub.add_option("--peer", o.peer, "the peer of the gateway's vpn block")->required();
        sub.add_option("--key-file", o.key, "the client's private key, which is printed then; else a placeholder is");
        sub.add_option("--preshared-key-file", o.preshared, "the peer's preshared key, which is printed then; else a placeholder is");
        sub.add_option("--gateway-key", o.gateway_key, "the gateway's public key; out of its key file where that is here");
    }
    if (v.takes & takes_json) sub.add_flag("--json", o.json, "print JSON");
}

int fail(const std::string& message) {
    std::fflush(stdout);
    std::fprintf(stderr, "weft: %s\n", message.c_str());
    return 1;
}

int run(int argc, char** argv) {
    options o;
    // What stands behind the first "--" of `lab exec` belongs to the command, another "--" included; CLI11 never sees
    // it.
    if (argc > 2 && !std::strcmp(argv[1], "lab") && !std::strcmp(argv[2], "exec"))
        for (int i = 3; i < argc; ++i)
            if (!std::strcmp(argv[i], "--")) {
                o.command.assign(argv + i + 1, argv + argc);
                argc = i;
                break;
            }

    CLI::App app{"weft: one fabric file, every node's network.", "weft"};
    app.set_version_flag("--version", "weft " WEFT_VERSION);
    app.require_subcommand(1);
    CLI::App* lab = app.add_subcommand("lab", "a fabric on one machine, each node a small host of namespaces");
    lab->require_subcommand(1);
    CLI::App* vpn = app.add_subcommand("vpn", "keys of the VPN gateway, and what its clients need");
    vpn->require_subcommand(1);
    const verb* chosen = nullptr;
    for (const verb& v : verbs) {
        const std::string_view group = v.group;
        CLI::App* sub = (group == "lab" ? lab : group == "vpn" ? vpn : &app)->add_subcommand(v.name, v.help);
        add_arguments(*sub, v, o);
        sub->callback([&chosen, &v] { chosen = &v; });
    }
    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& e) {
        return app.exit(e);  // --help and --version
    } catch (const CLI::ParseError& e) {
        return fail(std::string(e.what()) + " (see weft --help)");
    }
    try {
        return chosen->run(o);
    } catch (const weft::exception& e) {
        const bool on_host = (chosen->takes & takes_place) || std::string_view(chosen->group) == "lab";
        if (e.error().code != weft::errc::permission_denied || !on_host) throw;
        return fail(std::string(e.what()) + "; " + chosen->name + " needs root (CAP_NET_ADMIN, CAP_SYS_ADMIN)");
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 2 && !std::strcmp(argv[1], "--version")) {
        std::puts("weft " WEFT_VERSION);
        return 0;
    }
    try {
        return run(argc, argv);
    } catch (const std::exception& e) {
        return fail(e.what());
    }
}
