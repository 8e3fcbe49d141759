/* SPDX-License-Identifier: MIT */
/*
 * vifctl: what vifd is doing, for operators. Asks over vifd's unix socket (one JSON
 * object a line) and prints a table, or with --json the answer itself.
 *
 * It needs nothing of vifd but that answer, whose schema vifctl(8) promises.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/client.h"

enum { EXIT_OK = 0, EXIT_NO_SUCH_VIF = 1, EXIT_UNWRITTEN = 1, EXIT_USAGE = 2, EXIT_UNREACHABLE = 3 };

static const char help[] =
	"Usage: vifctl list | show VIF | stats [VIF] | nic | model VIF MODEL\n"
	"       | fault NIC FAULT N  [--json] [--socket PATH]\n\n"
	"  list         the vifs vifd serves, and their states\n"
	"  show VIF     everything about one (VIF: vif3.0, or the name its netdev was given)\n"
	"  stats [VIF]  frames, bytes and drops by reason, seen from the guest\n"
	"  nic          the NICs of vifd.conf, and who has a place on them\n"
	"  model VIF auto|bridge|mq\n"
	"               which I/O model it is to have\n"
	"  fault NIC pulled|stuck|stray|filter-refused|table-full N\n"
	"               has a model NIC fail, for tests: see vifctl(8)\n\n"
	"  --json       vifd's answer as it is, for programs: see vifctl(8)\n"
	"  --socket     vifd's socket, instead of " CLIENT_DEFAULT_SOCKET "\n"
	"  --help, --version\n\n"
	"Exit status: 0; 1 no such vif, or the answer could not be written; 2 wrong use; 3\n"
	"vifd cannot be reached.\n";

/* ---- showing ---- */

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "-";
}

static intmax_t number(const json_t *o, const char *key)
{
	return (intmax_t)json_integer_value(json_object_get(o, key));
}

static void show_list(const json_t *answer)
{
	const json_t *vif, *list = json_object_get(answer, "vifs");

	printf("%-16s %-13s %-13s %6s %-10s %-8s %s\n", "VIF", "STATE", "FRONTEND", "QUEUES", "HOTPLUG",
	       "MODEL", "ERROR");
	for (size_t i = 0; (vif = json_array_get(list, i)); i++)
		printf("%-16s %-13s %-13s %6jd %-10s %-8s %s\n", text(vif, "vif"), text(vif, "state"),
		       text(vif, "frontend_state"), number(vif, "queues"), text(vif, "hotplug"),
		       text(vif, "model"), text(vif, "error"));
}

static void show_queues(const json_t *queues)
{
	const json_t *q;

	for (size_t i = 0; (q = json_array_get(queues, i)); i++)
		printf("  queue %jd      worker %jd%s, %jd bytes wait%s\n", number(q, "queue"),
		       number(q, "worker"),
		       json_is_true(json_object_get(q, "attached")) ? "" : ", not attached",
		       number(q, "waiting_bytes"),
		       json_is_true(json_object_get(q, "stalled")) ? ", the guest is stalled" : "");
}

static void show_words(const char *title, const json_t *words)
{
	const json_t *word;

	printf("  %-12s", title);
	for (size_t i = 0; (word = json_array_get(words, i)); i++)
		printf(" %s", json_string_value(word));
	printf("\n");
}

static void show_ctrl(const json_t *ctrl)
{
	printf("  control ring hash %s, mapping of %jd, %jd static grants\n", text(ctrl, "hash"),
	       number(ctrl, "mapping_size"), number(ctrl, "static_grants"));
	if (json_array_size(json_object_get(ctrl, "hash_types")))
		show_words("hash types", json_object_get(ctrl, "hash_types"));
}

static void show_settings(json_t *settings)
{
	const char *value, *key;
	json_t *item;

	printf("  settings    ");
	json_object_foreach(settings, key, item) {
		value = json_string_value(item);
		printf(" %s=%s", key, value ? value : "");
	}
	printf("\n");
}

static void show_buffers(const char *what)
{
	if (!strcmp(what, "posted"))
		printf(", which writes to its buffers");
	else if (!strcmp(what, "lent"))
		printf(", which writes to its memory");
	else if (!strcmp(what, "to be lent"))
		printf(", which is to write to its memory soon");
	else
		printf("; it does not write to its buffers: %s", what);
}

static void show_one(const json_t *answer)
{
	const json_t *vif = json_object_get(answer, "vif");
	const json_t *netdev = json_object_get(vif, "netdev");
	const json_t *placement = json_object_get(vif, "placement");
	const json_t *multicast = json_object_get(vif, "multicast");
	const json_t *ctrl = json_object_get(vif, "control_ring");
	const json_t *rate = json_object_get(vif, "rate");
	const json_t *carrier = json_object_get(vif, "carrier");

	printf("%s\n", text(vif, "vif"));
	printf("  state        %s (frontend %s)%s\n", text(vif, "state"), text(vif, "frontend_state"),
	       json_is_true(json_object_get(vif, "online")) ? "" : ", not to come back");
	printf("  error        %s\n", text(vif, "error"));
	printf("  hotplug      %s\n", text(vif, "hotplug"));
	printf("  model        %s\n", text(vif, "model"));
	printf("  model wanted %s", text(placement, "wish"));
	if (json_is_string(json_object_get(placement, "nic")))
		printf(", on NIC %s", text(placement, "nic"));
	if (number(placement, "vlan"))
		printf(" for VLAN %jd, %stagged on the wire", number(placement, "vlan"),
		       number(placement, "wire_vlan") ? "" : "un");
	if (json_is_true(json_object_get(placement, "transmit")))
		printf(", sends by it");
	if (json_is_string(json_object_get(placement, "buffers")))
		show_buffers(text(placement, "buffers"));
	if (json_is_string(json_object_get(placement, "why_not")))
		printf("; on the bridge: %s", text(placement, "why_not"));
	if (json_is_string(json_object_get(placement, "failure")))
		printf("; %s", text(placement, "failure"));
	printf("\n  guest's mac  %s\n", text(vif, "mac"));
	if (json_is_object(netdev))
		printf("  netdev       %s, index %jd, mtu %jd, %s, %s\n", text(netdev, "name"),
		       number(netdev, "ifindex"), number(netdev, "mtu"),
		       json_is_true(json_object_get(netdev, "up")) ? "up" : "down",
		       json_is_true(json_object_get(netdev, "carrier")) ? "carrier" : "no carrier");
	show_settings(json_object_get(vif, "settings"));
	show_words("features", json_object_get(vif, "features"));
	show_words("offered", json_object_get(vif, "offered"));
	printf("  carrier told %s%s\n", json_is_true(json_object_get(carrier, "told")) ? "up" : "down: ",
	       json_is_true(json_object_get(carrier, "told")) ? "" : text(carrier, "lost_because"));
	if (json_is_object(multicast))
		printf("  multicast    %s, %jd addresses\n",
		       json_is_true(json_object_get(multicast, "filter")) ? "filtered" : "all",
		       number(multicast, "addresses"));
	if (json_is_object(ctrl))
		show_ctrl(ctrl);
	if (number(vif, "xdp_headroom"))
		printf("  xdp headroom %jd bytes\n", number(vif, "xdp_headroom"));
	if (json_is_object(rate))
		printf("  rate         the guest sends %jd bytes in %jd us\n", number(rate, "bytes"),
		       number(rate, "usec"));
	show_queues(json_object_get(vif, "queues"));
	if (json_is_string(json_object_get(vif, "steering")))
		printf("  steering     %s\n", text(vif, "steering"));
	printf("  backend      %s\n", text(vif, "backend_path"));
	printf("  frontend     %s\n", text(vif, "frontend_path"));
}

static void show_drops(const json_t *direction)
{
	json_t *drops = json_object_get(direction, "drops");
	bool any = false;

	for (void *i = json_object_iter(drops); i; i = json_object_iter_next(drops, i)) {
		json_int_t n = json_integer_value(json_object_iter_value(i));

		if (n)
			printf("%s%s %" JSON_INTEGER_FORMAT, any ? ", " : "", json_object_iter_key(i), n);
		any |= n != 0;
	}
	printf("%s\n", any ? "" : "none");
}

static void show_nic_frames(const json_t *d)
{
	printf("             by the NIC: frames %jd", number(d, "nic_frames"));
	if (json_object_get(d, "nic_lost"))
		printf("  lost %jd", number(d, "nic_lost"));
	else
		printf("  no room %jd  foreign source %jd  bytes summed %jd", number(d, "nic_full"),
		       number(d, "nic_foreign"), number(d, "summed_bytes"));
	if (number(d, "nic_written"))
		printf("  into the guest's pages %jd  injected %jd", number(d, "nic_written"),
		       number(d, "nic_injected"));
	if (number(d, "nic_faults"))
		printf("  faults %jd", number(d, "nic_faults"));
	printf("\n");
}

static void show_direction(const json_t *vif, const char *name, const char *label)
{
	const json_t *d = json_object_get(vif, name);
	const json_t *nd = json_object_get(json_object_get(vif, "netdev"), name);

	printf("  %-10s frames %jd  bytes %jd  gso %jd  csum blank %jd\n", label, number(d, "frames"),
	       number(d, "bytes"), number(d, "gso_frames"), number(d, "csum_blank"));
	printf("             grant ops %jd  events %jd  notifies %jd", number(d, "grant_ops"),
	       number(d, "events"), number(d, "notifies"));
	if (number(d, "static_copies"))
		printf("  copies through static grants %jd", number(d, "static_copies"));
	if (number(d, "credit_waits"))
		printf("  waits for the rate %jd", number(d, "credit_waits"));
	if (number(d, "stalls"))
		printf("  times stalled %jd", number(d, "stalls"));
	printf("\n");
	if (!strcmp(name, "to_guest"))
		printf("             bytes copied %jd  summed %jd\n", number(d, "copied_bytes"),
		       number(d, "summed_bytes"));
	if (number(d, "nic_frames"))
		show_nic_frames(d);
	printf("             dropped: ");
	show_drops(d);
	if (nd)
		printf("             netdev: frames %jd  bytes %jd  dropped %jd  errors %jd\n",
		       number(nd, "frames"), number(nd, "bytes"), number(nd, "dropped"),
		       number(nd, "errors"));
}

static intmax_t n_drops(const json_t *direction)
{
	json_t *drops = json_object_get(direction, "drops");
	json_int_t n = 0;

	for (void *i = json_object_iter(drops); i; i = json_object_iter_next(drops, i))
		n += json_integer_value(json_object_iter_value(i));
	return (intmax_t)n;
}

/* One line a queue of those in use, where there are several. */
static void show_queue_stats(const json_t *queues)
{
	const json_t *q;

	for (size_t i = 0; json_array_size(queues) > 1 && (q = json_array_get(queues, i)); i++) {
		const json_t *from = json_object_get(q, "from_guest");
		const json_t *to = json_object_get(q, "to_guest");

		printf("  queue %-4jd from guest frames %jd  bytes %jd  dropped %jd; to guest frames %jd  "
		       "bytes %jd  dropped %jd\n", number(q, "queue"), number(from, "frames"),
		       number(from, "bytes"), n_drops(from), number(to, "frames"), number(to, "bytes"),
		       n_drops(to));
	}
}

static void show_stats(const json_t *answer)
{
	const json_t *vif, *list = json_object_get(answer, "vifs");

	for (size_t i = 0; (vif = json_array_get(list, i)); i++) {
		const json_t *ctrl = json_object_get(vif, "control_ring");

		printf("%s  %s\n", text(vif, "vif"), text(vif, "state"));
		show_direction(vif, "from_guest", "from guest");
		show_direction(vif, "to_guest", "to guest");
		if (number(ctrl, "requests"))
			printf("  control    requests %jd  refused %jd  events %jd  notifies %jd\n",
			       number(ctrl, "requests"), number(ctrl, "refused"),
			       number(ctrl, "events"), number(ctrl, "notifies"));
		show_queue_stats(json_object_get(vif, "queues"));
	}
}

/* What the device counts itself, of those that do. */
static void show_device(const json_t *d)
{
	if (!json_is_object(d))
		return;
	printf("  link %s  from the wire %jd  to places %jd  lost %jd  faults %jd  to the host %jd  "
	       "from the host %jd\n", json_is_true(json_object_get(d, "link")) ? "up" : "down",
	       number(d, "from_wire"), number(d, "to_places"), number(d, "lost"),
	       number(d, "faults"), number(d, "to_host"), number(d, "from_host"));
}

/* A place lent to has a star. */
static void show_vifs(const json_t *nic)
{
	const json_t *vif, *vifs = json_object_get(nic, "vifs"), *lent = json_object_get(nic, "lent");

	for (size_t i = 0; (vif = json_array_get(vifs, i)); i++) {
		bool is_lent = false;

		for (size_t k = 0; k < json_array_size(lent); k++)
			is_lent |= json_equal(vif, json_array_get(lent, k));
		printf(" %s%s", json_string_value(vif), is_lent ? "*" : "");
	}
}

/* Why it serves nobody, or where whom it serves is. */
static void show_whereabouts(const json_t *nic)
{
	if (!json_is_true(json_object_get(nic, "open")))
		printf("  not open: %s\n", text(nic, "error"));
	else if (json_is_string(json_object_get(nic, "bridge")))
		printf("  in bridge %s\n", text(nic, "bridge"));
	else
		puts("  in no bridge: it serves no guest until it is");
}

static void show_nic(const json_t *answer)
{
	const json_t *nic, *list = json_object_get(answer, "nics");

	if (!json_array_size(list)) {
		puts("vifd has no NIC: nics in vifd.conf(5) names those it is to serve guests by");
		return;
	}
	printf("%-16s %-9s %-5s %7s %-8s %7s  %-12s %-10s %-8s %s\n", "NIC", "PROVIDER", "OPEN", "FILTERS",
	       "POLICY", "WORKER", "STEERING", "RECEIVE", "TRANSMIT", "VIFS");
	for (size_t i = 0; (nic = json_array_get(list, i)); i++) {
		printf("%-16s %-9s %-5s %7jd %-8s %7jd  %-12s %-10s %-8s", text(nic, "nic"),
		       text(nic, "provider"), json_is_true(json_object_get(nic, "open")) ? "yes" : "no",
		       number(nic, "filters"), text(nic, "policy"), number(nic, "worker"), text(nic, "steering"),
		       text(nic, "receive"),
		       json_is_true(json_object_get(nic, "transmit")) ? "yes" : "no");
		show_vifs(nic);
		putchar('\n');
		show_whereabouts(nic);
		if (json_is_true(json_object_get(nic, "untested_on_hardware")))
			puts("  untested on hardware");
		show_device(json_object_get(nic, "device"));
	}
}

static void show_nothing(const json_t *answer)
{
	(void)answer; /* it is under way: vifctl show, or vifctl nic, tells where it is */
}

/* It is under way, or stays where it is. */
static void show_model(const json_t *answer)
{
	const json_t *placement = json_object_get(answer, "placement");

	if (!strcmp(text(placement, "wish"), "mq") &&
	    json_is_string(json_object_get(placement, "why_not")))
		printf("on the bridge for now: %s\n", text(placement, "why_not"));
}

/* ---- choosing ---- */

#define ARGS_MAX 3

static const struct command {
	const char *name;
	int args_min, args_max;
	void (*show)(const json_t *answer);
	const char *arg[ARGS_MAX]; /* their names in the request */
} commands[] = {
	{ "list", 0, 0, show_list, { NULL } },
	{ "show", 1, 1, show_one, { "vif" } },
	{ "stats", 0, 1, show_stats, { "vif" } },
	{ "nic", 0, 0, show_nic, { NULL } },
	{ "model", 2, 2, show_model, { "vif", "model" } },
	{ "fault", 3, 3, show_nothing, { "nic", "fault", "value" } },
};

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static int wrong_use(const char *why, const char *what)
{
	fprintf(stderr, "vifctl: %s%s; see vifctl --help\n", why, what);
	return EXIT_USAGE;
}

/* Those that are numbers go as numbers. */
static json_t *make_request(const struct command *command, char *args[])
{
	json_t *request = json_pack("{s:s}", "command", command->name);

	for (int i = 0; i < ARGS_MAX && args[i]; i++) {
		char *end;
		json_int_t n = strtoll(args[i], &end, 10);
		bool is_number = !strcmp(command->arg[i], "value") && args[i][0] && !*end;

		json_object_set_new(request, command->arg[i],
				    is_number ? json_integer(n) : json_string(args[i]));
	}
	return request;
}

/* args: what follows the command's name, NULL-terminated. */
static int run(const char *socket_path, bool json, const struct command *command, char *args[])
{
	json_t *request = make_request(command, args);
	char why[256];
	json_t *answer = client_ask(socket_path, request, why, sizeof(why));
	int status = EXIT_OK;

	if (!answer) {
		fprintf(stderr, "vifctl: %s\n", why);
		return EXIT_UNREACHABLE;
	}
	if (!json_is_true(json_object_get(answer, "ok"))) {
		fprintf(stderr, "vifctl: %s%s%s\n", args[0] ? args[0] : "", args[0] ? ": " : "",
			text(answer, "error"));
		status = strcmp(text(answer, "code"), "no-such-vif") ? EXIT_USAGE : EXIT_NO_SUCH_VIF;
	}
	if (json) {
		json_dumpf(answer, stdout, JSON_INDENT(2));
		putchar('\n');
	} else if (status == EXIT_OK) {
		command->show(answer);
	}
	json_decref(answer);
	if (fflush(stdout) || ferror(stdout)) {
		perror("vifctl: standard output");
		return EXIT_UNWRITTEN;
	}
	return status;
}

int main(int argc, char *argv[])
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },    { "socket", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },    { "version", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	const char *socket_path = CLIENT_DEFAULT_SOCKET;
	const struct command *command;
	bool json = false;
	int opt, n_args;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 'j':
			json = true;
			break;
		case 's':
			socket_path = optarg;
			break;
		case 'h':
			fputs(help, stdout);
			return EXIT_OK;
		case 'v':
			printf("vifctl " VIFD_VERSION "\n");
			return EXIT_OK;
		default:
			return wrong_use("not understood", "");
		}
	}
	if (optind == argc)
		return wrong_use("no command", "");
	command = find_command(argv[optind]);
	if (!command)
		return wrong_use("no such command: ", argv[optind]);
	n_args = argc - optind - 1;
	if (n_args < command->args_min || n_args > command->args_max)
		return wrong_use("wrong number of arguments for ", command->name);
	return run(socket_path, json, command, argv + optind + 1);
}
