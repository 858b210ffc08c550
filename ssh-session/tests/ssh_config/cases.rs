//! Configurations that `ssh` and we must read alike.

/// What is compared, files and aliases: the file `config` is read, `DIR` is its folder.
pub(crate) type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);

pub(crate) const AGREED: &[Row<'_>] = &[
    (
        "nothing",
        &[("config", "")],
        &["h", "u@h", "H.Example", "192.0.2.1", "::1", "ssh://u@h:2222"],
    ),
    (
        "simple values",
        &[(
            "config",
            "Host web\n HostName Web.Example.COM\n Port 2222\n User deploy\n ConnectTimeout 7\n \
             ServerAliveInterval 30\n ServerAliveCountMax 4\n",
        )],
        &["web", "WEB", "other", "admin@web"],
    ),
    ("equals signs", &[("config", "Host=a\nPort=2222\nUser = b\nHostName   =c\n")], &["a", "x"]),
    (
        "quotes, comments and capitals",
        &[(
            "config",
            "# first\n\n  HOST \"a b\" a # not c\n\tuser \"b c\" # x\nIdentityFile \"DIR/a key\"\n\
             IdentityFile 'DIR/b#key'\nIdentityFile DIR/c\\ key\r\n",
        )],
        &["a", "c", "#"],
    ),
    (
        "patterns and negation",
        &[(
            "config",
            "Host *.x !bad.x\n Port 1\nHost ?\n Port 2\nHost !* *\n Port 3\nHost * !y\n User all\n",
        )],
        &["a.x", "bad.x", "q", "qq", "y", ".x", "A.X"],
    ),
    (
        "the first value counts",
        &[(
            "config",
            "User first\nHost h\n User second\n Port 10\nHost *\n Port 20\n HostName a\nHostName b\n",
        )],
        &["h", "i"],
    ),
    (
        "host names with tokens",
        &[("config", "Host s-*\n HostName %h.Example.com\nHost p\n HostName 100%%\n")],
        &["s-1", "S-1", "p"],
    ),
    (
        "identity files add up, with tokens",
        &[(
            "config",
            "Host h\n User r\n HostName real\n Port 2222\n IdentityFile ~/k1\n \
             IdentityFile %d/%u_%h_%n_%p_%r_%%\n IdentityFile ~/k1\nHost *\n IdentityFile DIR/k2\n \
             IdentitiesOnly yes\n CertificateFile DIR/c-%h\n CertificateFile ~/c2\n",
        )],
        &["h", "x"],
    ),
    ("no identity file", &[("config", "IdentityFile none\n")], &["h"]),
    (
        "variables in paths",
        &[("config", "IdentityFile ${HOME}/k\nUserKnownHostsFile ${HOME}/h\n")],
        &["h"],
    ),
    (
        "known_hosts files",
        &[(
            "config",
            "Host a\n UserKnownHostsFile ~/a DIR/%h-%p \"DIR/c\"\n GlobalKnownHostsFile /x /y\n\
             Host b\n UserKnownHostsFile none\n GlobalKnownHostsFile none\nHost *\n \
             UserKnownHostsFile /dev/null\n HostKeyAlias Shared\n",
        )],
        &["a", "b", "c"],
    ),
    (
        "host key checking",
        &[(
            "config",
            "Host a\n StrictHostKeyChecking yes\nHost b\n StrictHostKeyChecking no\nHost c\n \
             StrictHostKeyChecking OFF\nHost d\n StrictHostKeyChecking accept-new\nHost e\n \
             StrictHostKeyChecking ask\n",
        )],
        &["a", "b", "c", "d", "e", "f"],
    ),
    (
        "times with units",
        &[(
            "config",
            "Host a\n ConnectTimeout 1m30s\n ServerAliveInterval 1h\nHost b\n ConnectTimeout none\n \
             ServerAliveInterval 0\n ServerAliveCountMax 0\nHost *\n ConnectTimeout 5\n \
             ServerAliveInterval 2\n",
        )],
        &["a", "b", "c"],
    ),
    (
        "jump hosts",
        &[(
            "config",
            "Host a\n ProxyJump j\nHost b\n ProxyJump u@j1:2222,j2,w@j3\nHost c\n \
             ProxyJump ssh://u@j:22\nHost d\n ProxyJump u@[2001:db8::1]:2222 # six\nHost e\n \
             ProxyJump none\nHost *\n ProxyJump fallback\n",
        )],
        &["a", "b", "c", "d", "e", "f"],
    ),
    (
        "proxy commands",
        &[(
            "config",
            "Host a\n ProxyCommand nc  -X \"5\" %h   %p # all of it\nHost b\n ProxyCommand=none\n\
             Host c\n ProxyCommand = ssh -W '[%h]:%p' %r@gate\nHost *\n ProxyCommand fallback %%\n",
        )],
        &["a", "b", "c", "d"],
    ),
    (
        "jump or command, whichever comes first",
        &[(
            "config",
            "Host a\n ProxyJump j\n ProxyCommand nc %h %p\nHost b\n ProxyCommand nc %h %p\n \
             ProxyJump j\nHost c\n ProxyJump none\n ProxyCommand nc %h %p\nHost d\n \
             ProxyCommand none\n ProxyJump j\nHost e\n ProxyJump none\n ProxyJump j\nHost f\n \
             ProxyJump j\n ProxyCommand none\nHost *\n ProxyCommand last\n",
        )],
        &["a", "b", "c", "d", "e", "f", "g"],
    ),
    (
        "includes",
        &[
            (
                "config",
                "Include DIR DIR/*.conf DIR/absent\nHost a\n Include DIR/inner\n User outer\n",
            ),
            ("1.conf", "Host a\n Port 1\n"),
            ("2.conf", "Host *\n Port 2\n"),
            (".hidden.conf", "Port 3\n"),
            ("inner", "HostName from-inner\nHost b\n User wrong\nHost a\n ConnectTimeout 9\n"),
        ],
        &["a", "b", "c"],
    ),
    (
        "an include's blocks end with it",
        &[
            ("config", "Include DIR/inner\nUser everybody\nHost a\nInclude DIR/inner2\nPort 5\n"),
            ("inner", "Host nobody\n User nobody\n"),
            ("inner2", "Host b\n ConnectTimeout 3\n"),
        ],
        &["a", "b", "nobody"],
    ),
    (
        "match on names",
        &[(
            "config",
            "Host alias\n HostName Real.Example\nMatch host real.example\n Port 1\n\
             Match originalhost ALIAS,!other\n User matched\nMatch !host real.example\n Port 2\n\
             Match host *.com,!bad.com\n ConnectTimeout 4\n",
        )],
        &["alias", "real.example", "other", "good.com", "bad.com"],
    ),
    (
        "match on users",
        &[(
            "config",
            "Host a\n User alice\nMatch user alice host a\n Port 1\nMatch user bob,carol\n Port 2\n\
             Match localuser nobody-here\n Port 3\nMatch !localuser nobody-here\n ConnectTimeout 3\n",
        )],
        &["a", "b", "bob@b", "carol@a"],
    ),
    (
        "match all, canonical and final",
        &[(
            "config",
            "Match all\n Port 1\nMatch canonical\n User canonical\nMatch final all\n User last\n \
             ConnectTimeout 8\nMatch !final host b\n ConnectTimeout 9\n",
        )],
        &["a", "b"],
    ),
    (
        "final sees the host name",
        &[(
            "config",
            "Match final host real\n Port 7\nHost a\n HostName REAL\n IdentityFile DIR/k\n",
        )],
        &["a", "real", "b"],
    ),
    (
        "final, and an include behind a host's condition",
        &[
            (
                "config",
                "Match final all\n ConnectTimeout 8\nHost b\n Include DIR/inner\nHost c\n \
                 Include DIR/last\n",
            ),
            ("inner", "Port 7\nMatch final\n User last\nHost *\n IdentitiesOnly yes\n"),
            ("last", "Match final host c\n Port 9\n"),
        ],
        &["a", "b", "c"],
    ),
    (
        "patterns with more behind a star",
        &[(
            "config",
            "Host web*.corp\n Port 1\nHost !db*.corp *\n Port 2\nMatch host a*b\n User m\n",
        )],
        &["web", "web1.corp", "db", "db1.corp", "a", "ab"],
    ),
    ("canonical alone starts no second pass", &[("config", "Match canonical\n Port 9\n")], &["a"]),
    (
        "match ends a host block, and a host block a match",
        &[("config", "Host a\n Port 1\nMatch host b\n Port 2\nHost c\n Port 3\n")],
        &["a", "b", "c", "d"],
    ),
    (
        "an include in a block that does not match",
        &[
            ("config", "Host a\n Include DIR/inner\nHost *\n Port 4\n"),
            ("inner", "Port 3\nHost *\n User wrong\nMatch all\n ConnectTimeout 2\n"),
        ],
        &["a", "b"],
    ),
    (
        "keywords we do not need, and unknown ones that are asked to be ignored",
        &[(
            "config",
            "IgnoreUnknown Foo*,Bar\nFooBar baz\nBAR x y z\nControlMaster auto\n\
             ControlPath ~/.ssh/%C\nForwardAgent yes\nSendEnv LANG\nAddKeysToAgent yes\n\
             Host a\n LocalForward 8080 localhost:80\n Compression yes\n Port 44\n",
        )],
        &["a"],
    ),
    (
        "host key algorithms",
        &[(
            "config",
            "Host a\n HostKeyAlgorithms ssh-ed25519,rsa-sha2-512\nHost b\n HostKeyAlgorithms \
             +ssh-rsa\nHost c\n HostKeyAlgorithms -ecdsa*,*-cert-v01@openssh.com\nHost d\n \
             HostKeyAlgorithms ^rsa-sha2-256,ssh-ed25519\nHost *\n HostKeyAlgorithms ssh-ed25519\n",
        )],
        &["a", "b", "c", "d", "e"],
    ),
    (
        "algorithms of authorities",
        &[(
            "config",
            "Host a\n CASignatureAlgorithms ssh-ed25519\nHost b\n CASignatureAlgorithms +ssh-rsa\n\
             Host c\n CASignatureAlgorithms -rsa-*\nHost d\n CASignatureAlgorithms ^rsa-sha2-512\n",
        )],
        &["a", "b", "c", "d", "e"],
    ),
    (
        "ciphers, MACs and key exchanges",
        &[(
            "config",
            "Host a\n Ciphers aes256-ctr,aes128-gcm@openssh.com\n MACs hmac-sha2-512,hmac-sha1\n \
             KexAlgorithms curve25519-sha256,ecdh-sha2-nistp256\nHost b\n Ciphers +aes128-cbc\n \
             MACs -*-etm@openssh.com\n KexAlgorithms ^ecdh-sha2-nistp521\nHost c\n Ciphers -aes*\n \
             MACs umac-64-etm@openssh.com,hmac-sha2-256\n \
             KexAlgorithms +diffie-hellman-group1-sha1\nHost *\n Ciphers aes192-ctr\n",
        )],
        &["a", "b", "c", "d"],
    ),
    (
        "algorithms of one's own keys",
        &[(
            "config",
            "Host a\n PubkeyAcceptedAlgorithms ssh-ed25519,rsa-sha2-*\nHost b\n \
             PubkeyAcceptedAlgorithms +ssh-rsa\nHost c\n PubkeyAcceptedKeyTypes -rsa-*,*-cert-*\n",
        )],
        &["a", "b", "c", "d"],
    ),
    (
        "how often keys are agreed on anew",
        &[(
            "config",
            "Host a\n RekeyLimit 1G 1h\nHost b\n RekeyLimit 512K\nHost c\n RekeyLimit default none\n\
             Host *\n RekeyLimit 2M 90\n",
        )],
        &["a", "b", "c", "d"],
    ),
    (
        "sizes of keys",
        &[("config", "Host a\n RequiredRSASize 3072\nHost *\n RequiredRSASize 2048\n")],
        &["a", "b"],
    ),
    (
        "hashed names",
        &[("config", "Host a\n HashKnownHosts yes\nHost b\n HashKnownHosts no\n")],
        &["a", "b", "c"],
    ),
    (
        "keys that a server announces",
        &[(
            "config",
            "Host a\n UpdateHostKeys no\nHost b\n UpdateHostKeys yes\n UserKnownHostsFile /x\nHost c\n \
             UserKnownHostsFile /x\nHost d\n VerifyHostKeyDNS ask\nHost e\n UpdateHostKeys ask\nHost f\n \
             VerifyHostKeyDNS no\nHost g\n VerifyHostKeyDNS yes\n UpdateHostKeys yes\n",
        )],
        &["a", "b", "c", "d", "e", "f", "g", "h"],
    ),
    (
        "revoked keys",
        &[(
            "config",
            "Host a\n RevokedHostKeys DIR/revoked\nHost b\n RevokedHostKeys none\nHost c\n \
             RevokedHostKeys /etc/krl\nHost *\n RevokedHostKeys /x\n",
        )],
        &["a", "b", "c", "d"],
    ),
    (
        "ways to log in",
        &[(
            "config",
            "Host a\n PasswordAuthentication no\n PubkeyAuthentication yes\nHost b\n \
             PubkeyAuthentication no\n KbdInteractiveAuthentication no\nHost c\n \
             ChallengeResponseAuthentication no\n DSAAuthentication no\n",
        )],
        &["a", "b", "c", "d"],
    ),
    (
        "the order of ways to log in",
        &[(
            "config",
            "Host a\n PreferredAuthentications publickey\nHost *\n PreferredAuthentications \
             keyboard-interactive,password\n",
        )],
        &["a", "b"],
    ),
    (
        "prompts for passwords",
        &[("config", "Host a\n NumberOfPasswordPrompts 1\nHost b\n NumberOfPasswordPrompts 0\n")],
        &["a", "b", "c"],
    ),
    (
        "keywords about keys in a match block",
        &[(
            "config",
            "Host a\n HostName real\nMatch final host real\n HashKnownHosts yes\n \
             HostKeyAlgorithms rsa-sha2-512\nMatch user u\n PasswordAuthentication no\n",
        )],
        &["a", "real", "b", "u@a"],
    ),
    (
        "an include in an include",
        &[
            ("config", "Host a\n Include DIR/one\nPort 5\n"),
            ("one", "Include DIR/two\nHost b\n User no\n"),
            ("two", "User deep\nHost c\n HashKnownHosts yes\n"),
        ],
        &["a", "b", "c"],
    ),
    ("tabs and no end of line", &[("config", "\tHost\ta\n\t\tPort\t\t8\n\tUser\tu")], &["a"]),
    ("a host line without a match", &[("config", "Host\t*\nPort 1\nHost b c\nPort 2")], &["b"]),
];

/// All keywords of `ssh_config(5)`, those of OpenSSH 9.x and of Debian's; at its end those of 10.x.
pub(crate) const KEYWORDS_OF_SSH: &[&str] = &[
    "AddKeysToAgent",
    "AddressFamily",
    "BatchMode",
    "BindAddress",
    "BindInterface",
    "CASignatureAlgorithms",
    "CanonicalDomains",
    "CanonicalizeFallbackLocal",
    "CanonicalizeHostname",
    "CanonicalizeMaxDots",
    "CanonicalizePermittedCNAMEs",
    "CertificateFile",
    "ChannelTimeout",
    "CheckHostIP",
    "Ciphers",
    "ClearAllForwardings",
    "Compression",
    "ConnectTimeout",
    "ConnectionAttempts",
    "ControlMaster",
    "ControlPath",
    "ControlPersist",
    "DynamicForward",
    "EnableEscapeCommandline",
    "EnableSSHKeysign",
    "EscapeChar",
    "ExitOnForwardFailure",
    "FingerprintHash",
    "ForkAfterAuthentication",
    "ForwardAgent",
    "ForwardX11",
    "ForwardX11Timeout",
    "ForwardX11Trusted",
    "GSSAPIAuthentication",
    "GSSAPIClientIdentity",
    "GSSAPIDelegateCredentials",
    "GSSAPIKexAlgorithms",
    "GSSAPIKeyExchange",
    "GSSAPIRenewalForcesRekey",
    "GSSAPIServerIdentity",
    "GSSAPITrustDns",
    "GatewayPorts",
    "GlobalKnownHostsFile",
    "HashKnownHosts",
    "Host",
    "HostKeyAlgorithms",
    "HostKeyAlias",
    "HostName",
    "HostbasedAcceptedAlgorithms",
    "HostbasedAuthentication",
    "IPQoS",
    "IdentitiesOnly",
    "IdentityAgent",
    "IdentityFile",
    "IgnoreUnknown",
    "Include",
    "KbdInteractiveAuthentication",
    "KbdInteractiveDevices",
    "KexAlgorithms",
    "KnownHostsCommand",
    "LocalCommand",
    "LocalForward",
    "LogLevel",
    "LogVerbose",
    "MACs",
    "Match",
    "NoHostAuthenticationForLocalhost",
    "NumberOfPasswordPrompts",
    "ObscureKeystrokeTiming",
    "PKCS11Provider",
    "PasswordAuthentication",
    "PermitLocalCommand",
    "PermitRemoteOpen",
    "Port",
    "PreferredAuthentications",
    "ProxyCommand",
    "ProxyJump",
    "ProxyUseFdpass",
    "PubkeyAcceptedAlgorithms",
    "PubkeyAuthentication",
    "RekeyLimit",
    "RemoteCommand",
    "RemoteForward",
    "RequestTTY",
    "RequiredRSASize",
    "RevokedHostKeys",
    "SecurityKeyProvider",
    "SendEnv",
    "ServerAliveCountMax",
    "ServerAliveInterval",
    "SessionType",
    "SetEnv",
    "StdinNull",
    "StreamLocalBindMask",
    "StreamLocalBindUnlink",
    "StrictHostKeyChecking",
    "SyslogFacility",
    "TCPKeepAlive",
    "Tag",
    "Tunnel",
    "TunnelDevice",
    "UpdateHostKeys",
    "User",
    "UserKnownHostsFile",
    "VerifyHostKeyDNS",
    "VisualHostKey",
    "XAuthLocation",
    "RefuseConnection",
    "VersionAddendum",
    "WarnWeakCrypto",
];

/// Keywords that a session is refused for: with which values, and with which not.
pub(crate) const NOT_OBEYED: &[(&str, &[&str], &[&str])] = &[
    ("AddressFamily", &["inet", "inet6"], &["any"]),
    ("BindAddress", &["192.0.2.1"], &[]),
    ("BindInterface", &["eth0"], &[]),
    ("CanonicalizeHostname", &["yes", "always"], &["no", "none"]),
    ("CheckHostIP", &["yes"], &["no"]),
    ("ProxyUseFdpass", &["yes"], &["no"]),
];

/// Keywords that change nothing about what is done here; `keywords.rs` says why.
pub(crate) const SKIPPED: &[&str] = &[
    "AddKeysToAgent",
    "BatchMode",
    "CanonicalDomains",
    "CanonicalizeFallbackLocal",
    "CanonicalizeMaxDots",
    "CanonicalizePermittedCNAMEs",
    "ChannelTimeout",
    "ClearAllForwardings",
    "Compression",
    "ConnectionAttempts",
    "ControlMaster",
    "ControlPath",
    "ControlPersist",
    "DynamicForward",
    "EnableEscapeCommandline",
    "EnableSSHKeysign",
    "EscapeChar",
    "ExitOnForwardFailure",
    "FingerprintHash",
    "ForkAfterAuthentication",
    "ForwardAgent",
    "ForwardX11",
    "ForwardX11Timeout",
    "ForwardX11Trusted",
    "GSSAPIAuthentication",
    "GSSAPIClientIdentity",
    "GSSAPIDelegateCredentials",
    "GSSAPIKexAlgorithms",
    "GSSAPIKeyExchange",
    "GSSAPIRenewalForcesRekey",
    "GSSAPIServerIdentity",
    "GSSAPITrustDns",
    "GatewayPorts",
    "HostbasedAcceptedAlgorithms",
    "HostbasedAuthentication",
    "IPQoS",
    "KbdInteractiveDevices",
    "LocalCommand",
    "LocalForward",
    "LogLevel",
    "LogVerbose",
    "NoHostAuthenticationForLocalhost",
    "ObscureKeystrokeTiming",
    "PKCS11Provider",
    "PermitLocalCommand",
    "PermitRemoteOpen",
    "RemoteCommand",
    "RemoteForward",
    "RequestTTY",
    "SecurityKeyProvider",
    "SendEnv",
    "SessionType",
    "SetEnv",
    "StdinNull",
    "StreamLocalBindMask",
    "StreamLocalBindUnlink",
    "SyslogFacility",
    "TCPKeepAlive",
    "Tunnel",
    "TunnelDevice",
    "VersionAddendum",
    "VisualHostKey",
    "WarnWeakCrypto",
    "XAuthLocation",
];

/// Configurations that `ssh` refuses, with the line that the error must name.
pub(crate) const REFUSED: &[(&str, &str, usize)] = &[
    ("unknown keyword", "Host a\n ProxyJmp x\n", 2),
    ("unknown keyword in a block that does not match", "Host b\n ProxyJmp x\n", 2),
    ("unknown keyword before it is ignored", "Foo x\nIgnoreUnknown Foo\n", 1),
    ("no argument", "Port\n", 1),
    ("empty argument", "User \"\"\n", 1),
    ("open quote", "\nUser \"a\n", 2),
    ("bad port", "Port 0\n", 1),
    ("large port", "Port 70000\n", 1),
    ("bad port in a block that does not match", "Host b\nPort x\n", 2),
    ("more than one value", "Port 22 23\n", 1),
    ("neither yes nor no", "IdentitiesOnly maybe\n", 1),
    ("host key checking", "StrictHostKeyChecking sometimes\n", 1),
    ("time", "ConnectTimeout soon\n", 1),
    ("count", "ServerAliveCountMax many\n", 1),
    ("none and more", "UserKnownHostsFile none x\n", 1),
    ("host key algorithm", "HostKeyAlgorithms ssh-ed25519,what\n", 1),
    ("authority's algorithm", "CASignatureAlgorithms what\n", 1),
    ("method", "PasswordAuthentication perhaps\n", 1),
    ("size", "RequiredRSASize large\n", 1),
    ("whether keys are updated", "UpdateHostKeys perhaps\n", 1),
    ("cipher", "Ciphers aes256-ctr,what\n", 1),
    ("ciphers at once", "Ciphers aes*\n", 1),
    ("key exchange", "Host b\nKexAlgorithms +what\n", 2),
    ("MAC", "MACs ^what\n", 1),
    ("user's keys", "PubkeyAcceptedAlgorithms what\n", 1),
    ("size before keys are agreed on anew", "RekeyLimit 15\n", 1),
    ("no size before keys are agreed on anew", "RekeyLimit none\n", 1),
    ("time before keys are agreed on anew", "RekeyLimit default soon\n", 1),
    ("jump host", "ProxyJump u@\n", 1),
    ("jump port", "ProxyJump h:x\n", 1),
    ("match without criterion", "Match\n", 1),
    ("match without argument", "Match host\n", 1),
    ("unknown criterion", "Match planet mars\n", 1),
    ("all with others", "Match host a user b all\n", 1),
    ("token in a host name", "HostName %p\n", 1),
    ("include of itself", "Include DIR/config\n", 1),
];
