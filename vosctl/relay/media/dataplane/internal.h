/* Private structures of the data plane: one worker thread owns a stream and everything below it. */
#ifndef VOS_INTERNAL_H
#define VOS_INTERNAL_H

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "flow.h"
#include "vos.h"

#define VOS_PACKET_MAX 65536
#define VOS_TRAILER 24 /* what SRTP or SRTCP may put after a packet: a tag of 16, an index of 4 */
#define VOS_WORKERS 64
#define VOS_THREADS (VOS_WORKERS + 1) /* the workers, and the host's */
#define VOS_CANDIDATES 32
#define VOS_PROBATION 5
#define VOS_PREVIOUS_US 32000000u /* as long as a SIP transaction may take: 64 × T1 (RFC 3261 §17.1.1.2) */

#if defined(__x86_64__) || defined(__i386__)
#define VOS_RELAX() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define VOS_RELAX() __asm__ __volatile__("yield")
#else
#define VOS_RELAX() (void)0
#endif

struct vos_rtp {
    uint8_t payload_type;
    uint16_t sequence;
    uint32_t timestamp, ssrc;
    size_t header; /* fixed part, CSRC list and extension */
};

/* What one leg does in one direction. Expanded keys behind it may be shared by legs, but never by threads. */
struct vos_cipher;

/* RFC 3550 A.1 and A.8 state of the SSRC that is heard at present. */
struct vos_source {
    bool known;
    uint32_t ssrc, clock, transit, jitter; /* jitter times 16, in clock ticks */
    uint32_t timestamp, step;
    uint16_t highest, base;
    uint32_t cycles, bad_sequence;
    uint64_t window;         /* bit n: highest - n has been seen */
    uint32_t run;            /* packets missing in a row, just behind the window */
    uint64_t expected_prior; /* of the sources before */
};

struct vos_candidate {
    struct vos_addr addr;
    uint32_t ssrc;
    uint16_t next;
    uint8_t run;
    uint64_t age;
};

struct vos_learner {
    uint8_t rule;
    struct vos_addr from, signalled, rtcp_signalled;
    struct vos_addr previous; /* where the source was before a change, while the new one is not heard */
    uint64_t previous_until_us; /* 0: not heard any more */
    uint64_t clock;
    struct vos_candidate candidate[VOS_CANDIDATES];
};

struct vos_socket {
    int fd;
    bool rtcp, connected;
    uint8_t side;
    struct vos_stream *stream;
    struct vos_addr to;
    struct sockaddr_storage to_sock;
    socklen_t to_len; /* 0: nowhere to send */
    uint32_t kernel_drops;
    uint32_t slot; /* in the ring; 0: epoll's */
};

#define VOS_REPORTS 4
#define VOS_WHEEL 512 /* milliseconds; more than a packet ever waits */

/* A sender report that left by a leg: the middle of its NTP time, and when it did. */
struct vos_report {
    uint32_t middle;
    uint64_t at_us;
};

struct vos_playout;

struct vos_wheel {
    struct vos_playout *bucket[VOS_WHEEL];
    uint64_t busy[VOS_WHEEL / 64], ms; /* ms: played so far */
    uint32_t count;
};

/* Of a direction that the kernel forwards (settled.c), or is about to. */
struct vos_settled {
    struct vos_flow *flow; /* NULL: it does not */
    bool open;             /* the gate was opened: what it counts is ours to add up */
    uint32_t index, quiet, wait, offers;
    struct vos_flow_key key;
    struct vos_flow_seen told; /* what has been added up */
};

struct vos_leg {
    struct vos_entry entry; /* of the packets that arrive here */
    struct vos_view view;
    struct vos_socket rtp, rtcp;
    int guard; /* takes what strangers send once rtp is connected; -1: none */
    uint32_t guard_drops;
    struct vos_learner learner;
    struct vos_addr rtcp_remote; /* the accepted source of RTCP, once known */
    struct vos_source source;
    struct vos_settled settled;
    struct vos_cipher *rx, *tx;
    uint32_t forged; /* SRTP packets in a row that did not authenticate */
    struct vos_judge *judge;
    struct vos_playout *playout;
    struct vos_report report[VOS_REPORTS];
    uint32_t reports;
    bool mux, send, receive, heard, moved, udptl;
    uint8_t filter, events[16];
    struct vos_player *player; /* what the relay sends here; `playing` until it is at its end */
    struct vos_digits *digits; /* what takes the place of sound that comes from here, until `digits_done` */
    bool playing, digits_done;
    uint8_t dscp;
    uint32_t timeout_ms;
    uint64_t since_ms, told_ms; /* the silence that began at told_ms has been reported */
    uint32_t clocks[VOS_CLOCKS];
};

struct vos_stream {
    uint64_t id;
    struct vos_worker *worker;
    struct vos_stream *next, *before;
    struct vos_leg leg[2];
    bool tapped;
};

enum vos_command_kind { VOS_ADD, VOS_CHANGE, VOS_REMOVE, VOS_REFRESH, VOS_STOP, VOS_PLAY, VOS_DIAL, VOS_TAP, VOS_AWAKE };

/* A command waits on the host's stack until its worker has carried it out. */
struct vos_command {
    enum vos_command_kind kind;
    struct vos_stream *stream;
    uint32_t side, what;
    const struct vos_leg_conf *conf;
    struct vos_cipher *rx, *tx; /* new ones in, old ones out */
    struct vos_judge *judge;
    struct vos_player *player;
    struct vos_digits *digits;
    struct vos_playout *playout;
    int result;
    sem_t done;
    struct vos_command *next;
};

struct vos_worker {
    pthread_t thread;
    int epoll, wake, events;
    uint32_t number; /* from 1 */
    bool epoll_only; /* do without a ring */
    pthread_mutex_t lock; /* the inbox only; never taken for a packet */
    struct vos_command *inbox;
    struct vos_stream *streams;
    struct vos_player *players;
    struct vos_wheel wheel;
    uint32_t count;
    uint64_t now_us, ticked_ms;
    uint32_t routes; /* see vos_kernel_routes */
    bool stop;
    struct vos_awake *awake; /* NULL: nobody keeps the core from halting */
    cpu_set_t cores;         /* with `awake`: those that the worker may run on without */
    struct vos_ring *ring; /* NULL where the kernel has none: all sockets are epoll's */
    uint8_t *packet;       /* the one at hand: in `own`, or in one of the ring's buffers */
    uint8_t own[VOS_PACKET_MAX + VOS_TRAILER];
};

/* addr.c */
bool vos_addr_same(const struct vos_addr *a, const struct vos_addr *b);
bool vos_addr_same_host(const struct vos_addr *a, const struct vos_addr *b);
socklen_t vos_addr_to_sock(const struct vos_addr *addr, struct sockaddr_storage *out);
void vos_addr_from_sock(const struct sockaddr_storage *sock, struct vos_addr *out);
uint64_t vos_now_us(void);

/* packet.c */
int vos_rtp_parse(const uint8_t *packet, size_t length, struct vos_rtp *out);
bool vos_type_listed(const uint8_t set[16], uint8_t payload_type);
bool vos_type_fits(const uint8_t set[16], uint8_t payload_type);
bool vos_is_rtcp(const uint8_t *packet, size_t length);

/* crypto.c */
struct vos_aes;
int vos_crypto_open(void);
struct vos_aes *vos_aes_new(const uint8_t key[16]);
void vos_aes_free(struct vos_aes *aes);
struct vos_aes_shared;
void vos_aes_threads(uint32_t count);
void vos_aes_thread(uint32_t number);
struct vos_aes_shared *vos_aes_share(const uint8_t key[16]);
void vos_aes_unshare(struct vos_aes_shared *shared);
struct vos_aes *vos_aes_mine(const struct vos_aes_shared *shared);
int vos_aes_counter(struct vos_aes *aes, const uint8_t prefix[14], uint8_t *data, size_t length);
int vos_aes_blocks(struct vos_aes *aes, const uint8_t *in, uint8_t *out, size_t length);
bool vos_rc4_known(void);
void vos_rc4(const uint8_t *key, size_t key_len, size_t discard, uint8_t *data, size_t length);
enum vos_hash { VOS_SHA1, VOS_SHA256 };
struct vos_hmac {
    uint64_t inner[16], outer[16]; /* the hash's states after the padded key (RFC 2104) */
    enum vos_hash hash;
};
struct vos_span {
    const uint8_t *data;
    size_t length;
};
int vos_hmac_init(struct vos_hmac *hmac, enum vos_hash hash, const uint8_t *key, size_t key_len);
void vos_hmac(const struct vos_hmac *hmac, const uint8_t *data, size_t length, const uint8_t *tail, size_t tail_len,
              uint8_t out[32]);
struct vos_gcm;
struct vos_gcm *vos_gcm_new(const uint8_t key[16]);
void vos_gcm_free(struct vos_gcm *gcm);
int vos_gcm_crypt(struct vos_gcm *gcm, bool seal, const uint8_t nonce[12], const struct vos_span extra[2],
                  uint8_t *data, size_t length, uint8_t tag[16]);

/* srtp.c */
int vos_srtp_open(struct vos_srtp *srtp, uint8_t *packet, size_t *length, const struct vos_rtp *rtp);
int vos_srtp_seal(struct vos_srtp *srtp, uint8_t *packet, size_t *length, const struct vos_rtp *rtp);
int vos_srtcp_open(struct vos_srtp *srtp, uint8_t *packet, size_t *length);
int vos_srtcp_seal(struct vos_srtp *srtp, uint8_t *packet, size_t *length);

/* transform.c */
int vos_cipher_new(const struct vos_transform *how, struct vos_cipher **out);
void vos_cipher_free(struct vos_cipher *cipher);
struct vos_srtp *vos_cipher_srtp(struct vos_cipher *cipher);
int vos_cipher_apply(struct vos_cipher *cipher, uint8_t *packet, size_t length, const struct vos_rtp *rtp);
int vos_cipher_seal(struct vos_cipher *cipher, uint8_t *packet, size_t *length, const struct vos_rtp *rtp);
void vos_wipe(void *memory, size_t length);

/* stats.c */
void vos_stats_update(struct vos_leg *leg, const struct vos_rtp *rtp, size_t length, uint64_t now_us);

/* rtcp.c */
void vos_rtcp_note(struct vos_leg *leg, struct vos_leg *other, const uint8_t *packet, size_t length, uint64_t now_us);

/* playout.c, wheel.c */
int vos_playout_new(const struct vos_playout_conf *conf, struct vos_playout **out);
void vos_playout_free(struct vos_playout *playout);
bool vos_wheel_hold(struct vos_worker *worker, struct vos_leg *leg, const uint8_t *packet, size_t length,
                    const struct vos_rtp *rtp);
void vos_wheel_swap(struct vos_worker *worker, struct vos_stream *stream, uint8_t side, struct vos_playout **given);
void vos_wheel_join(struct vos_stream *stream);
void vos_wheel_leave(struct vos_worker *worker, struct vos_stream *stream);
int vos_wheel_run(struct vos_worker *worker, int wait_ms);

/* learn.c */
void vos_learn_set(struct vos_leg *leg, const struct vos_leg_conf *conf);
void vos_learn_set_rtcp(struct vos_leg *leg, const struct vos_leg_conf *conf);
bool vos_learn_rtp(struct vos_leg *leg, const struct vos_addr *from, const struct vos_rtp *rtp, uint64_t now_us,
                   bool *locked);
bool vos_learn_rtcp(struct vos_leg *leg, const struct vos_addr *from);

/* table.c */
int vos_stream_new(uint64_t id, const struct vos_leg_conf legs[2], struct vos_stream **out);
void vos_stream_free(struct vos_stream *stream);
void vos_stream_apply(struct vos_stream *stream, struct vos_command *command);
void vos_stream_refresh(struct vos_stream *stream);
void vos_stream_drops(struct vos_stream *stream);

/* socket.c */
int vos_socket_mark(int fd, uint16_t family, uint32_t dscp);
void vos_socket_aim(struct vos_socket *socket, const struct vos_addr *to);
void vos_socket_lock(struct vos_leg *leg);
void vos_socket_unlock(struct vos_leg *leg);
uint32_t vos_socket_drops(int fd);
void vos_socket_limits(uint32_t receive_buffer, uint32_t files);
void vos_socket_close(int fd);

/* relay.c */
void vos_relay_send(struct vos_leg *leg, uint8_t *packet, size_t length, const struct vos_rtp *rtp);
void vos_relay_receive(struct vos_worker *worker, struct vos_socket *socket);
void vos_relay_prefetch(const struct vos_socket *in);
void vos_relay_packet(struct vos_worker *worker, struct vos_socket *in, const struct sockaddr_storage *name,
                      size_t length);
void vos_relay_pass(struct vos_worker *worker, struct vos_stream *stream, uint8_t side, uint8_t *packet,
                    size_t length, struct vos_rtp *rtp);
void vos_relay_tick(struct vos_worker *worker, struct vos_stream *stream, uint64_t now_ms);

/* settled.c */
void vos_settled_arrived(struct vos_stream *stream, uint8_t side);
void vos_settled_relayed(struct vos_stream *stream, uint8_t side, const struct vos_rtp *rtp, size_t length);
void vos_settled_leave(struct vos_stream *stream);
void vos_settled_fold(struct vos_stream *stream);
void vos_settled_tick(struct vos_worker *worker);

/* alter.c */
int vos_digits_new(const struct vos_digits_conf *conf, const uint8_t *sound, size_t length, struct vos_digits **out);
void vos_digits_free(struct vos_digits *digits);
size_t vos_alter(struct vos_leg *leg, uint8_t *packet, size_t length, struct vos_rtp *rtp);

/* player.c */
int vos_player_new(const struct vos_play_conf *conf, const uint8_t *sound, size_t length, struct vos_player **out);
void vos_player_free(struct vos_player *player);
void vos_player_swap(struct vos_worker *worker, struct vos_stream *stream, uint8_t side, struct vos_player **given);
void vos_player_leave(struct vos_worker *worker, struct vos_stream *stream);
int vos_player_run(struct vos_worker *worker, int wait_ms);

/* tap.c */
void vos_tap_close(void);
void vos_tap(const struct vos_stream *stream, const struct vos_addr *from, const struct vos_addr *to,
             const uint8_t *packet, size_t length);

/* ring.c */
struct vos_ring *vos_ring_new(struct vos_worker *worker);
void vos_ring_free(struct vos_ring *ring);
bool vos_ring_watch(struct vos_ring *ring, struct vos_socket *socket);
void vos_ring_leave(struct vos_ring *ring, struct vos_socket *socket);
bool vos_ring_wait(struct vos_ring *ring, int timeout_ms);
bool vos_ring_send(struct vos_ring *ring, const struct vos_socket *out, const uint8_t *packet, size_t length);
bool vos_ring_empty(const struct vos_ring *ring);
bool vos_ring_may_spin(const struct vos_ring *ring);

/* awake.c */
int vos_awake_start(struct vos_worker *worker);
void vos_awake_stop(struct vos_worker *worker);
bool vos_awake_alone(struct vos_awake *awake, uint64_t now_ns);

/* worker.c */
int vos_worker_start(struct vos_worker *worker, int events);
int vos_worker_do(struct vos_worker *worker, struct vos_command *command);
void vos_worker_event(struct vos_worker *worker, const struct vos_event *event);

#endif
