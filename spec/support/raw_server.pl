# A server that misbehaves as it is told, for spec/http_spec.lua: the path of a request says how. It prints its port,
# then a line for each request that arrived whole: method, path, number of the request on its connection, body.
# A request for a proxy, with a whole URL, is served like any other.
use strict;
use warnings;
use IO::Socket::INET;
use Socket qw(SOL_SOCKET SO_LINGER);

$SIG{CHLD} = 'IGNORE';
$SIG{PIPE} = 'IGNORE';
$| = 1;

sub answer {
    my ($body, @headers) = @_;
    my $head = join '', map { "$_\r\n" } 'HTTP/1.1 200 OK', 'Content-Length: ' . length $body, @headers;
    return "$head\r\n$body";
}

sub reset_connection {
    my ($client) = @_;
    setsockopt $client, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0);
}

sub print_bodies {
    my ($client, $count) = @_;
    my $piece = 'x' x 65536;
    for (1 .. $count) { print {$client} $piece or return }
}

# Each sends its answer and returns whether the connection goes on.
my %behaviors = (
    '/ok'     => sub { print { $_[0] } answer('ok'); 1 },
    '/last'   => sub { print { $_[0] } answer('ok', 'Connection: close'); 0 },
    '/close'  => sub { 0 },
    '/reset'  => sub { reset_connection($_[0]); 0 },
    # Never answers, and tells when the client has gone.
    '/silent' => sub { sysread $_[0], my $nothing, 1; syswrite STDOUT, "GONE\n"; 0 },
    '/fragile' => sub { return 0 if $_[1] > 1; print { $_[0] } answer('ok'); 1 },
    '/short'   => sub { print { $_[0] } "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this"; 0 },
    '/half-head' => sub { print { $_[0] } "HTTP/1.1 200 OK\r\nContent-Ty"; 0 },
    '/half-chunk' => sub { print { $_[0] } "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"; 0 },
    '/interim-only' => sub { print { $_[0] } "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"; 0 },
    '/interim' => sub { print { $_[0] } "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" . answer('ok', 'X-Real: 1'); 1 },
    '/garbage' => sub { print { $_[0] } "SSH-2.0-OpenSSH_9.2\r\n"; 0 },
    '/headers' => sub { print { $_[0] } answer('', 'X-One:   1  ', 'X-Two: a', 'x-two: b', 'X-Fold: c', "\td", 'X-Empty:'); 1 },
    '/long-head' => sub { print { $_[0] } answer('', 'X-Long: ' . 'x' x 200000); 1 },
    '/trailers' => sub { print { $_[0] } "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Late: 1\r\n\r\n"; 1 },
    '/huge' => sub {
        print { $_[0] } "HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n";
        print_bodies($_[0], 1600);
        1;
    },
    '/endless' => sub { print { $_[0] } "HTTP/1.1 200 OK\r\n\r\n"; print_bodies($_[0], 1e9); 0 },
    '/gzip' => sub {
        print { $_[0] } answer(scalar qx(printf 'hello, hello, hello' | gzip -c), 'Content-Encoding: gzip');
        1;
    },
    '/bomb' => sub {
        print { $_[0] } answer(scalar qx(head -c 50000000 /dev/zero | gzip -1), 'Content-Encoding: gzip');
        1;
    },
    '/bad-gzip' => sub { print { $_[0] } answer('this is not gzip', 'Content-Encoding: gzip'); 1 },
    '/redirect' => sub {
        my (undef, undef, $query) = @_;
        my ($status, $to) = $query =~ /^(\d+),(.*)$/;
        print { $_[0] } "HTTP/1.1 $status Moved\r\nLocation: $to\r\nContent-Length: 4\r\n\r\nmove";
        1;
    },
    # Answers with the request itself.
    '/echo' => sub { print { $_[0] } answer($_[3]); 1 },
);

sub serve {
    my ($client) = @_;
    for (my $number = 1; ; $number++) {
        my $head = '';
        while ($head !~ /\r\n\r\n\z/) {
            my $line = <$client>;
            return unless defined $line;
            $head .= $line;
        }
        my ($method, $path, $query) = $head =~ m{^(\S+) (?:http://[^/]+)?([^ ?]+)\??(\S*)};
        my $body = '';
        if ($head =~ /^Content-Length: (\d+)/mi) { read $client, $body, $1 }
        syswrite STDOUT, "$method $path $number $body\n";
        my $behavior = $behaviors{$path} or return;
        $behavior->($client, $number, $query, "$head$body") or return;
        $client->flush;
    }
}

my $server = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 128) or die "cannot listen: $!\n";
print $server->sockport, "\n";
while (my $client = $server->accept) {
    my $child = fork;
    die "cannot fork: $!\n" unless defined $child;
    if ($child == 0) {
        close $server;
        $client->autoflush(1);
        serve($client);
        close $client;
        exit 0;
    }
    close $client;
}
