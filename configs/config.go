package configs

// Config is the whole configuration, as `winnow serve --config FILE` reads it. Default gives the value of every key that
// the file leaves out. A map or a list in the file replaces the default one.
type Config struct {
	Listen Listen `yaml:"listen"`
	// Upstreams is the closed world: the registries that may be fetched from, by the name that clients use, host or
	// host:port. docker.io, index.docker.io and registry-1.docker.io are one.
	Upstreams map[string]Upstream `yaml:"upstreams"`
	// DefaultUpstream is the one meant by a request that names none. Empty means that such a request is refused.
	DefaultUpstream string     `yaml:"defaultUpstream"`
	Tags            Tags       `yaml:"tags"`
	Admission       Admission  `yaml:"admission"`
	Deny            Deny       `yaml:"deny"`
	Store           Store      `yaml:"store"`
	Cache           Cache      `yaml:"cache"`
	Policy          Policy     `yaml:"policy"`
	Advisories      Advisories `yaml:"advisories"`
	Audit           Audit      `yaml:"audit"`
	Auth            Auth       `yaml:"auth"`
	Log             Log        `yaml:"log"`
}

// Listen says where Winnow listens. Addresses are host:port; an empty host means every interface, port 0 any free port.
type Listen struct {
	// Registry is where container clients pull. Plain HTTP unless TLS is set.
	Registry string `yaml:"registry"`
	// Console is where health, metrics and profiles are served, always over plain HTTP: keep it off public networks.
	// Empty means off.
	Console string `yaml:"console"`
	// Intercept is where the forward proxy and transparent TLS listen. It is not built in this version: leave it empty.
	Intercept string `yaml:"intercept"`
	// PublicURL is how people reach the registry listener, for the links in refusals: scheme and host, no path. Empty
	// means as the request was made.
	PublicURL string `yaml:"publicURL"`
	TLS       TLS    `yaml:"tls"`
}

// TLS of the registry listener. The files are read again on SIGHUP.
type TLS struct {
	// CertFile is the certificate chain in PEM; empty means plain HTTP.
	CertFile string `yaml:"certFile"`
	// KeyFile is its key in PEM.
	KeyFile string `yaml:"keyFile"`
	// ClientCAFile holds the authorities of client certificates; with it a client without one is refused.
	ClientCAFile string `yaml:"clientCAFile"`
}

// Upstream is one registry that may be fetched from. The zero value is a public registry without credentials.
type Upstream struct {
	// URL is scheme and host, e.g. https://registry.example:5443. Empty means https and the name of the upstream
	// (https://registry-1.docker.io for docker.io). http is for private upstreams only.
	URL string `yaml:"url"`
	// Private lets the upstream's name resolve to a private, loopback or link-local address, and lets URL be http.
	Private bool `yaml:"private"`
	// Username and PasswordFile log in by password, to the upstream and its token servers only.
	Username     string `yaml:"username"`
	PasswordFile string `yaml:"passwordFile"`
	// CredentialHelper is the NAME of a docker-credential-NAME program on the PATH that knows the password; "docker"
	// means Docker's own configuration file. It excludes Username and PasswordFile.
	CredentialHelper string `yaml:"credentialHelper"`
	// CAFile holds the authorities of the upstream's certificate in PEM, besides the system's.
	CAFile string `yaml:"caFile"`
	// TokenServers are hosts (host or host:port) that may issue its tokens, besides itself and the known one of docker.io.
	TokenServers []string `yaml:"tokenServers"`
	// BlobHosts are hosts that it may redirect downloads to, besides itself and the known ones of docker.io, ghcr.io, quay.io
	// and gcr.io.
	BlobHosts []string `yaml:"blobHosts"`
}

// Tags says how long it is remembered what a tag leads to.
type Tags struct {
	// TTL is how long the upstream is not asked again.
	TTL Duration `yaml:"ttl"`
	// Stale is how long the answer serves while the upstream is down.
	Stale Duration `yaml:"stale"`
}

// Admission bounds the deciding.
type Admission struct {
	// Hold is how long a client waits for a decision before it gets 429 and is to ask again. Above 30s containerd
	// gives up first.
	Hold Duration `yaml:"hold"`
	// Timeout is how long one decision may take, downloads included.
	Timeout Duration `yaml:"timeout"`
	// Platforms are those of an index whose images are admitted with it: os/architecture or os/architecture/variant.
	Platforms []string `yaml:"platforms"`
	// MaxImageSize is the size of config and layers, compressed, above which an image is refused.
	MaxImageSize Size `yaml:"maxImageSize"`
	// Concurrency is how many images are decided on at the same time.
	Concurrency int `yaml:"concurrency"`
}

// Deny says what a refusal looks like on the wire.
type Deny struct {
	// Style is standard: 403 with the reason. sticky, after which clients do not fall back to the real registry, is not
	// built in this version.
	Style string `yaml:"style"`
}

// Store says where image data is kept.
type Store struct {
	// Driver is filesystem, s3 (or s3aws), gcs, azure or inmemory (for tests: lost on exit).
	Driver string `yaml:"driver"`
	// Parameters are the driver's, as distribution documents them; filesystem has rootdirectory. For a secret write its
	// key with File after it, e.g. secretkeyFile: the value is then read from that file.
	Parameters map[string]any `yaml:"parameters"`
	// MaxSize is how much to keep; above it what was used least recently goes. 0 means no bound.
	MaxSize Size `yaml:"maxSize"`
	// Redirect sends clients to the object store for layers, where the driver can.
	Redirect bool `yaml:"redirect"`
}

// Cache says where verdicts and grants are remembered.
type Cache struct {
	Redis    Redis    `yaml:"redis"`
	Embedded Embedded `yaml:"embedded"`
	// MACKeyFile holds the key that seals every entry: at least 32 random bytes, as they are or in base64, the same for
	// all replicas. Required with Redis; without, a key is made beside the embedded store.
	MACKeyFile string `yaml:"macKeyFile"`
}

// Redis is shared by replicas. No addresses means none.
type Redis struct {
	// Addresses are host:port. One is a single server, several are a cluster, or with SentinelMaster the sentinels.
	Addresses []string `yaml:"addresses"`
	// Username of an ACL user; empty means the default user.
	Username string `yaml:"username"`
	// PasswordFile is read again for every connection.
	PasswordFile string `yaml:"passwordFile"`
	// TLS encrypts the connection and verifies the server by the system's authorities.
	TLS bool `yaml:"tls"`
	// SentinelMaster is the name under which the sentinels know the master.
	SentinelMaster string `yaml:"sentinelMaster"`
}

// Embedded is the store of one replica, which also answers while Redis is away.
type Embedded struct {
	// Path is its file; it is made when it does not exist.
	Path string `yaml:"path"`
}

// Policy says which policies are in force.
type Policy struct {
	// Paths are files, and folders whose *.yaml and *.yml files are read with those of their subfolders. baseline, standard
	// or strict, where no such file exists, is the embedded policy of that name. Empty means baseline. Read again on SIGHUP.
	// In a folder, *_test.yaml are tests of policies and not read.
	Paths []string `yaml:"paths"`
	// Reload is how often to look whether they changed; 0s means on SIGHUP only.
	Reload Duration `yaml:"reload"`
}

// Advisories says what is known of vulnerabilities. Not built in this version: leave Sources empty.
type Advisories struct {
	// Sources are OSV databases.
	Sources []string `yaml:"sources"`
	// Refresh is how often they are fetched.
	Refresh Duration `yaml:"refresh"`
	// MaxAge is how old they may be before rules that need them count as broken.
	MaxAge Duration `yaml:"maxAge"`
}

// Audit says how pulls are recorded.
type Audit struct {
	// Path is the folder of the records.
	Path string `yaml:"path"`
	// FSync makes a record durable before the first content byte leaves. Without it a crash of the machine, not of Winnow,
	// can lose the last records.
	FSync bool `yaml:"fsync"`
	// OnFailure is what happens to pulls that cannot be recorded. refuse (503) is the one choice.
	OnFailure string `yaml:"onFailure"`
}

// Auth says who may pull.
type Auth struct {
	// HtpasswdFile holds users with bcrypt hashes (htpasswd -B); empty means that everybody may. Read again on SIGHUP.
	HtpasswdFile string `yaml:"htpasswdFile"`
}

// Log says what is written to standard error.
type Log struct {
	// Level is debug, info, warn or error.
	Level string `yaml:"level"`
	// Format is json or console.
	Format string `yaml:"format"`
}

// dockerHub is the name under which clients know Docker Hub, dockerHubAt where its registry is.
const (
	dockerHub   = "docker.io"
	dockerHubAt = "https://registry-1.docker.io"
)

// canonical returns the one name of an upstream that has several.
func canonical(name string) string {
	switch name {
	case "index.docker.io", "registry-1.docker.io":
		return dockerHub
	}
	return name
}

// defaultURL returns where an upstream is that has no url.
func defaultURL(name string) string {
	if name == dockerHub {
		return dockerHubAt
	}
	return "https://" + name
}
