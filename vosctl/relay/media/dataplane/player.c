/* Sound that the relay itself sends to a leg, paced by its worker: a stream of its own (RFC 3550 §5.1), in the
 * place of what the other party sends. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define RTP_FIXED 12
#define FRAME_MAX 960
#define TAIL 64 /* room for an authentication tag */
#define BEHIND_US 200000 /* a worker that slept for longer does not catch up in one burst */

struct vos_player {
    struct vos_player *next;
    struct vos_stream *stream;
    uint8_t side, payload_type;
    bool begun;
    uint16_t sequence;
    uint32_t ssrc, timestamp, frame, period_us, repeat;
    uint64_t due_us;
    size_t at, length;
    uint8_t sound[];
};

int vos_player_new(const struct vos_play_conf *conf, const uint8_t *sound, size_t length, struct vos_player **out)
{
    *out = NULL;
    if (!length)
        return 0;
    if (length > VOS_SOUND_MAX || !conf->frame || conf->frame > FRAME_MAX || conf->payload_type > 127)
        return -EINVAL;
    struct vos_player *player = calloc(1, sizeof *player + length);
    if (!player)
        return -ENOMEM;
    player->payload_type = conf->payload_type;
    player->frame = conf->frame;
    player->period_us = conf->frame * 125; /* 8,000 samples a second, a byte each */
    player->repeat = conf->repeat;
    player->ssrc = conf->ssrc;
    player->sequence = conf->sequence;
    player->timestamp = conf->timestamp;
    player->length = length;
    memcpy(player->sound, sound, length);
    *out = player;
    return 0;
}

void vos_player_free(struct vos_player *player)
{
    free(player);
}

static void unlink_player(struct vos_worker *worker, struct vos_player *player)
{
    for (struct vos_player **at = &worker->players; *at; at = &(*at)->next) {
        if (*at == player) {
            *at = player->next;
            return;
        }
    }
}

/* The player that was there comes back in `given`, for the host to free. */
void vos_player_swap(struct vos_worker *worker, struct vos_stream *stream, uint8_t side, struct vos_player **given)
{
    struct vos_leg *leg = &stream->leg[side];
    struct vos_player *old = leg->player;
    if (old)
        unlink_player(worker, old);
    leg->player = *given;
    *given = old;
    leg->playing = leg->player != NULL;
    if (!leg->player)
        return;
    leg->player->stream = stream;
    leg->player->side = side;
    leg->player->due_us = vos_now_us();
    leg->player->next = worker->players;
    worker->players = leg->player;
}

void vos_player_leave(struct vos_worker *worker, struct vos_stream *stream)
{
    for (int side = 0; side < 2; side++)
        if (stream->leg[side].player)
            unlink_player(worker, stream->leg[side].player);
}

static void write_header(const struct vos_player *player, uint8_t *packet)
{
    packet[0] = 0x80;
    packet[1] = (uint8_t)(player->payload_type | (player->begun ? 0 : 0x80));
    packet[2] = (uint8_t)(player->sequence >> 8);
    packet[3] = (uint8_t)player->sequence;
    for (int i = 0; i < 4; i++) {
        packet[4 + i] = (uint8_t)(player->timestamp >> (24 - 8 * i));
        packet[8 + i] = (uint8_t)(player->ssrc >> (24 - 8 * i));
    }
}

static void send_frame(struct vos_player *player)
{
    uint8_t packet[RTP_FIXED + FRAME_MAX + TAIL];
    struct vos_leg *leg = &player->stream->leg[player->side];
    size_t part = player->length - player->at;
    if (part > player->frame)
        part = player->frame;
    write_header(player, packet);
    memcpy(packet + RTP_FIXED, player->sound + player->at, part);
    struct vos_rtp rtp = {.payload_type = player->payload_type,
                          .sequence = player->sequence,
                          .timestamp = player->timestamp,
                          .ssrc = player->ssrc,
                          .header = RTP_FIXED};
    if (leg->rtp.to_len && leg->send) {
        vos_tap(player->stream, &leg->entry.match.local, &leg->rtp.to, packet, RTP_FIXED + part);
        vos_relay_send(leg, packet, RTP_FIXED + part, &rtp);
    }
    player->begun = true;
    player->sequence++;
    player->timestamp += player->frame;
    player->at += part;
}

/* Sends what is due. Returns whether there is more to come. */
static bool advance(struct vos_player *player, uint64_t now_us)
{
    if (now_us > player->due_us + BEHIND_US)
        player->due_us = now_us;
    while (player->due_us <= now_us) {
        if (player->at == player->length) {
            if (player->repeat <= 1)
                return false;
            player->repeat--;
            player->at = 0;
        }
        send_frame(player);
        player->due_us += player->period_us;
    }
    return true;
}

/* Plays what is due, and returns for how many milliseconds, `wait_ms` at most, nothing will be. */
int vos_player_run(struct vos_worker *worker, int wait_ms)
{
    uint64_t now_us = worker->players ? vos_now_us() : 0;
    struct vos_player *player = worker->players;
    while (player) {
        struct vos_player *next = player->next;
        if (advance(player, now_us)) {
            int left_ms = (int)((player->due_us - now_us + 999) / 1000);
            wait_ms = left_ms < wait_ms ? left_ms : wait_ms;
        } else {
            struct vos_event event = {
                .kind = VOS_PLAYED, .side = player->side, .stream = player->stream->id, .value = player->ssrc};
            player->stream->leg[player->side].playing = false;
            unlink_player(worker, player);
            vos_worker_event(worker, &event);
        }
        player = next;
    }
    return wait_ms;
}
