/* libcrypto's primitives, found at run time so that neither its headers nor one version of it is needed. */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* SHA_CTX is 96 bytes, SHA256_CTX 112 and RC4_KEY 1,032 in every libcrypto that exports them; there is room to
 * spare. */
#define HASH_STATE 128
#define RC4_STATE 1200
#define GCM_GET_TAG 0x10 /* EVP_CTRL_AEAD_GET_TAG */
#define GCM_SET_TAG 0x11

struct evp_ctx;

struct hash {
    int (*init)(void *);
    int (*update)(void *, const void *, size_t);
    int (*final)(uint8_t *, void *);
};

static struct {
    void *handle;
    const char *(*version)(int);
    struct evp_ctx *(*ctx_new)(void);
    void (*ctx_free)(struct evp_ctx *);
    const void *(*aes_128_ecb)(void);
    int (*encrypt_init)(struct evp_ctx *, const void *, void *, const uint8_t *, const uint8_t *);
    int (*set_padding)(struct evp_ctx *, int);
    int (*encrypt_update)(struct evp_ctx *, uint8_t *, int *, const uint8_t *, int);
    struct hash hash[2]; /* by enum vos_hash */
    const void *(*aes_128_gcm)(void);
    int (*cipher_init)(struct evp_ctx *, const void *, void *, const uint8_t *, const uint8_t *, int);
    int (*cipher_update)(struct evp_ctx *, uint8_t *, int *, const uint8_t *, int);
    int (*cipher_final)(struct evp_ctx *, uint8_t *, int *);
    int (*cipher_ctrl)(struct evp_ctx *, int, int, void *);
    void (*rc4_set_key)(void *, int, const uint8_t *);
    void (*rc4)(void *, size_t, const uint8_t *, uint8_t *);
} crypto;

/* dlsym gives an object pointer; POSIX lets it be copied into a function pointer. */
static bool find(void *slot, const char *name)
{
    void *symbol = dlsym(crypto.handle, name);
    memcpy(slot, &symbol, sizeof symbol);
    return symbol != NULL;
}

static bool find_all(void)
{
    bool found = find(&crypto.version, "OpenSSL_version");
    found &= find(&crypto.ctx_new, "EVP_CIPHER_CTX_new");
    found &= find(&crypto.ctx_free, "EVP_CIPHER_CTX_free");
    found &= find(&crypto.aes_128_ecb, "EVP_aes_128_ecb");
    found &= find(&crypto.encrypt_init, "EVP_EncryptInit_ex");
    found &= find(&crypto.set_padding, "EVP_CIPHER_CTX_set_padding");
    found &= find(&crypto.encrypt_update, "EVP_EncryptUpdate");
    found &= find(&crypto.hash[VOS_SHA256].init, "SHA256_Init");
    found &= find(&crypto.hash[VOS_SHA256].update, "SHA256_Update");
    found &= find(&crypto.hash[VOS_SHA256].final, "SHA256_Final");
    return found;
}

/* What only SRTP needs; without it the other modes go on. */
static void find_srtp(void)
{
    bool sha1 = find(&crypto.hash[VOS_SHA1].init, "SHA1_Init");
    sha1 &= find(&crypto.hash[VOS_SHA1].update, "SHA1_Update");
    sha1 &= find(&crypto.hash[VOS_SHA1].final, "SHA1_Final");
    if (!sha1)
        crypto.hash[VOS_SHA1].init = NULL;
    bool gcm = find(&crypto.aes_128_gcm, "EVP_aes_128_gcm");
    gcm &= find(&crypto.cipher_init, "EVP_CipherInit_ex");
    gcm &= find(&crypto.cipher_update, "EVP_CipherUpdate");
    gcm &= find(&crypto.cipher_final, "EVP_CipherFinal_ex");
    gcm &= find(&crypto.cipher_ctrl, "EVP_CIPHER_CTX_ctrl");
    if (!gcm)
        crypto.cipher_ctrl = NULL;
}

int vos_crypto_open(void)
{
    static const char *const names[] = {"libcrypto.so.3", "libcrypto.so.1.1"};
    if (crypto.handle)
        return 0;
    for (size_t i = 0; i < sizeof names / sizeof *names && !crypto.handle; i++) {
        crypto.handle = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        if (crypto.handle && !find_all()) {
            dlclose(crypto.handle);
            crypto.handle = NULL;
        }
    }
    if (!crypto.handle)
        return -ENOSYS;
    if (!find(&crypto.rc4_set_key, "RC4_set_key") || !find(&crypto.rc4, "RC4"))
        crypto.rc4 = NULL;
    find_srtp();
    return 0;
}

const char *vos_crypto(void)
{
    return crypto.handle ? crypto.version(0) : "";
}

uint32_t vos_modes(void)
{
    uint32_t modes = 1u << VOS_NONE | 1u << VOS_XOR;
    if (crypto.handle)
        modes |= 1u << VOS_AES128;
    if (crypto.handle && crypto.hash[VOS_SHA1].init)
        modes |= 1u << VOS_SRTP_80 | 1u << VOS_SRTP_32;
    if (crypto.handle && crypto.cipher_ctrl)
        modes |= 1u << VOS_SRTP_GCM;
    if (vos_rc4_known())
        modes |= 1u << VOS_RC4;
    return modes;
}

struct vos_aes *vos_aes_new(const uint8_t key[16])
{
    if (!crypto.handle)
        return NULL;
    struct evp_ctx *ctx = crypto.ctx_new();
    if (ctx && crypto.encrypt_init(ctx, crypto.aes_128_ecb(), NULL, key, NULL) == 1 && crypto.set_padding(ctx, 0))
        return (struct vos_aes *)ctx;
    crypto.ctx_free(ctx);
    return NULL;
}

void vos_aes_free(struct vos_aes *aes)
{
    if (aes)
        crypto.ctx_free((struct evp_ctx *)aes);
}

/* A key is expanded once for each thread that may use it: all calls of a trunk then share a few lines of cache. Made
 * and given back by the host's thread only. */
struct vos_aes_shared {
    struct vos_aes_shared *next;
    uint32_t uses;
    uint8_t key[16];
    struct vos_aes *by_thread[VOS_THREADS];
};

static struct vos_aes_shared *shared_keys;
static uint32_t threads = 1; /* the host's is number 0 */
static _Thread_local uint32_t thread_number;

void vos_aes_threads(uint32_t count)
{
    threads = count + 1;
}

void vos_aes_thread(uint32_t number)
{
    thread_number = number;
}

void vos_aes_unshare(struct vos_aes_shared *shared)
{
    if (!shared || --shared->uses)
        return;
    struct vos_aes_shared **at = &shared_keys;
    while (*at != shared)
        at = &(*at)->next;
    *at = shared->next;
    for (uint32_t i = 0; i < VOS_THREADS; i++)
        vos_aes_free(shared->by_thread[i]);
    vos_wipe(shared, sizeof *shared);
    free(shared);
}

struct vos_aes_shared *vos_aes_share(const uint8_t key[16])
{
    for (struct vos_aes_shared *known = shared_keys; known; known = known->next)
        if (memcmp(known->key, key, sizeof known->key) == 0) {
            known->uses++;
            return known;
        }
    struct vos_aes_shared *made = calloc(1, sizeof *made);
    if (!made)
        return NULL;
    memcpy(made->key, key, sizeof made->key);
    made->uses = 1;
    made->next = shared_keys;
    shared_keys = made;
    for (uint32_t i = 0; i < threads; i++)
        if (!(made->by_thread[i] = vos_aes_new(key))) {
            vos_aes_unshare(made);
            return NULL;
        }
    return made;
}

struct vos_aes *vos_aes_mine(const struct vos_aes_shared *shared)
{
    return shared->by_thread[thread_number];
}

int vos_aes_blocks(struct vos_aes *aes, const uint8_t *in, uint8_t *out, size_t length)
{
    int done = 0;
    return crypto.encrypt_update((struct evp_ctx *)aes, out, &done, in, (int)length) == 1 ? 0 : -EIO;
}

bool vos_rc4_known(void)
{
    return crypto.handle && crypto.rc4;
}

void vos_rc4(const uint8_t *key, size_t key_len, size_t discard, uint8_t *data, size_t length)
{
    uint64_t state[RC4_STATE / 8];
    uint8_t thrown[256] = {0};
    crypto.rc4_set_key(state, (int)key_len, key);
    for (size_t left = discard; left;) {
        size_t part = left < sizeof thrown ? left : sizeof thrown;
        crypto.rc4(state, part, thrown, thrown);
        left -= part;
    }
    crypto.rc4(state, length, data, data);
    vos_wipe(state, sizeof state);
}

/* The states after the padded key never change, so they need no context and no lock, and each packet costs
 * two compressions instead of four. */
int vos_hmac_init(struct vos_hmac *hmac, enum vos_hash hash, const uint8_t *key, size_t key_len)
{
    uint8_t inner[64], outer[64];
    if (!crypto.handle)
        return -ENOSYS;
    if (key_len > sizeof inner)
        return -EINVAL;
    memset(inner, 0x36, sizeof inner);
    memset(outer, 0x5c, sizeof outer);
    for (size_t i = 0; i < key_len; i++) {
        inner[i] ^= key[i];
        outer[i] ^= key[i];
    }
    const struct hash *by = &crypto.hash[hash];
    hmac->hash = hash;
    by->init(hmac->inner);
    by->update(hmac->inner, inner, sizeof inner);
    by->init(hmac->outer);
    by->update(hmac->outer, outer, sizeof outer);
    vos_wipe(inner, sizeof inner);
    vos_wipe(outer, sizeof outer);
    return 0;
}

/* Of `data` and `tail`; `out` takes 20 bytes of SHA-1 and 32 of SHA-256. */
void vos_hmac(const struct vos_hmac *hmac, const uint8_t *data, size_t length, const uint8_t *tail, size_t tail_len,
              uint8_t out[32])
{
    const struct hash *by = &crypto.hash[hmac->hash];
    uint64_t state[HASH_STATE / 8];
    uint8_t digest[32];
    memcpy(state, hmac->inner, sizeof state);
    by->update(state, data, length);
    by->update(state, tail, tail_len);
    by->final(digest, state);
    memcpy(state, hmac->outer, sizeof state);
    by->update(state, digest, hmac->hash == VOS_SHA1 ? 20 : 32);
    by->final(out, state);
}

struct vos_gcm *vos_gcm_new(const uint8_t key[16])
{
    if (!crypto.cipher_ctrl)
        return NULL;
    struct evp_ctx *ctx = crypto.ctx_new();
    if (ctx && crypto.cipher_init(ctx, crypto.aes_128_gcm(), NULL, key, NULL, 1) == 1)
        return (struct vos_gcm *)ctx;
    crypto.ctx_free(ctx);
    return NULL;
}

void vos_gcm_free(struct vos_gcm *gcm)
{
    if (gcm)
        crypto.ctx_free((struct evp_ctx *)gcm);
}

/* In place; `tag` is written when sealing and compared when opening. -EBADMSG: it is another; `data` is then of no use. */
int vos_gcm_crypt(struct vos_gcm *gcm, bool seal, const uint8_t nonce[12], const struct vos_span extra[2],
                  uint8_t *data, size_t length, uint8_t tag[16])
{
    struct evp_ctx *ctx = (struct evp_ctx *)gcm;
    uint8_t rest[16];
    int done = 0;
    bool fine = crypto.cipher_init(ctx, NULL, NULL, NULL, nonce, seal) == 1;
    for (int i = 0; i < 2; i++)
        if (extra[i].length)
            fine = fine && crypto.cipher_update(ctx, NULL, &done, extra[i].data, (int)extra[i].length) == 1;
    if (length)
        fine = fine && crypto.cipher_update(ctx, data, &done, data, (int)length) == 1;
    if (!seal)
        fine = fine && crypto.cipher_ctrl(ctx, GCM_SET_TAG, 16, tag) == 1;
    fine = fine && crypto.cipher_final(ctx, rest, &done) == 1;
    if (seal)
        fine = fine && crypto.cipher_ctrl(ctx, GCM_GET_TAG, 16, tag) == 1;
    return fine ? 0 : seal ? -EIO : -EBADMSG;
}
