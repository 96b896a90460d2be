#!/usr/bin/perl
# An SMSC on Net::SMPP (Debian: libnet-smpp-perl), for TestInteropNetSMPP: it accepts everything, sends a receipt for
# each submit_sm, by turns as TLVs and as text, and says on standard output what it read, one JSON object a line.
# Texts are decoded, and encoded again, by Perl's own Encode.
use strict;
use warnings;
use Encode qw(decode encode);
use IO::Select;
use JSON::PP;
use Net::SMPP;

$| = 1;
my $json = JSON::PP->new->utf8->canonical;

sub say_event { print $json->encode({@_}), "\n" }

my $listener = Net::SMPP->new_listen('127.0.0.1', port => 0, async => 1, listen => 16) or die "listen: $!";
my $readable = IO::Select->new($listener);
my $accepted = 0;

say_event(event => 'listening', port => $listener->sockport + 0);
while (my @ready = $readable->can_read) {
    for my $session (@ready) {
        if ($session == $listener) {
            $readable->add(scalar $listener->accept);
            next;
        }
        my $pdu = $session->read_pdu;
        next if $pdu && serve($session, $pdu);
        say_event(event => 'close');
        $readable->remove($session);
        close $session;
    }
}

# serve answers one PDU, and returns false after the last of a session.
sub serve {
    my ($session, $pdu) = @_;
    my ($command, $seq) = ($pdu->{cmd}, $pdu->{seq});
    if ($command == Net::SMPP::CMD_bind_transceiver) {
        say_event(event => 'bind', systemID => $pdu->{system_id}, password => $pdu->{password},
            interfaceVersion => $pdu->{interface_version});
        $session->bind_transceiver_resp(seq => $seq, system_id => 'Net::SMPP');
    } elsif ($command == Net::SMPP::CMD_submit_sm) {
        submitted($session, $pdu);
    } elsif ($command == Net::SMPP::CMD_deliver_sm_resp) {
        say_event(event => 'acknowledged', id => "perl-$seq", status => $pdu->{status});
    } elsif ($command == Net::SMPP::CMD_enquire_link) {
        $session->enquire_link_resp(seq => $seq);
    } elsif ($command == Net::SMPP::CMD_unbind) {
        say_event(event => 'unbind');
        $session->unbind_resp(seq => $seq);
        return 0;
    } else {
        say_event(event => 'unknown', status => $command);
    }
    return 1;
}

sub submitted {
    my ($session, $pdu) = @_;
    my $id = 'perl-' . ++$accepted;
    my $octets = $pdu->{short_message};
    my $udh = $pdu->{esm_class} & 0x40 ? substr($octets, 0, ord($octets) + 1, '') : '';
    my $alphabet = $pdu->{data_coding} == 8 ? 'UTF-16BE' : 'gsm0338';
    my $text = decode($alphabet, $octets);
    say_event(
        event => 'submit', id => $id, sequence => $pdu->{seq},
        source => join('/', @$pdu{qw(source_addr_ton source_addr_npi source_addr)}),
        destination => join('/', @$pdu{qw(dest_addr_ton dest_addr_npi destination_addr)}),
        esmClass => $pdu->{esm_class}, dataCoding => $pdu->{data_coding},
        registeredDelivery => $pdu->{registered_delivery}, validity => $pdu->{validity_period},
        udh => unpack('H*', $udh), octets => unpack('H*', $octets), text => $text,
        own => unpack('H*', encode($alphabet, $text)), tlvs => [grep { /^\d+$/ } sort keys %$pdu],
    );
    $session->submit_sm_resp(seq => $pdu->{seq}, message_id => $id);
    my %receipt = (
        source_addr_ton => $pdu->{dest_addr_ton}, source_addr_npi => $pdu->{dest_addr_npi},
        source_addr => $pdu->{destination_addr}, dest_addr_ton => $pdu->{source_addr_ton},
        dest_addr_npi => $pdu->{source_addr_npi}, destination_addr => $pdu->{source_addr}, esm_class => 0x04,
    );
    if ($accepted % 2) {
        @receipt{qw(receipted_message_id message_state)} = ("$id\0", pack('C', Net::SMPP::MSGSTATE_delivered));
    } else {
        $receipt{short_message} =
            "id:$id sub:001 dlvrd:001 submit date:2601010000 done date:2601010001 stat:DELIVRD err:000 text:";
    }
    $session->deliver_sm(%receipt, seq => $accepted); # the answer tells the id by its sequence number
}
