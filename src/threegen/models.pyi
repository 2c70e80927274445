# Written by scripts/public_names.py from the table in names.py; do not edit.
from threegen.gen1.neocognitron_1980 import Neocognitron1980 as Neocognitron1980
from threegen.gen1.neocognitron_1988 import Neocognitron1988 as Neocognitron1988
from threegen.gen1.neocognitron_2003 import Neocognitron2003 as Neocognitron2003
from threegen.gen1.perceptron import Perceptron as Perceptron
from threegen.gen1.perceptron import SigmoidNeuron as SigmoidNeuron
from threegen.gen2.alexnet import AlexNet as AlexNet
from threegen.gen2.boltzmann import BoltzmannMachine as BoltzmannMachine
from threegen.gen2.classification_rbm import ClassificationRBM as ClassificationRBM
from threegen.gen2.conv_net import ConvNet as ConvNet
from threegen.gen2.dbn import DBN as DBN
from threegen.gen2.lenet import LeNet5Modern as LeNet5Modern
from threegen.gen2.lenet_1989 import LeNet1989 as LeNet1989
from threegen.gen2.lenet_5 import LeNet5 as LeNet5
from threegen.gen2.mlp import MLP as MLP
from threegen.gen2.rbm import RBM as RBM
from threegen.gen2.recurrent import RecurrentNet as RecurrentNet
from threegen.gen2.resnet import ResNet as ResNet
from threegen.gen2.softmax_on_rbm import SoftmaxOnRBM as SoftmaxOnRBM
from threegen.gen2.spike_activations import SoftLIF as SoftLIF
from threegen.gen2.spike_activations import StepReLU as StepReLU
from threegen.gen2.two_layer import TwoLayerNet as TwoLayerNet
from threegen.gen2.vgg import VGG as VGG
from threegen.gen3.conv_networks import SpikingConvNet as SpikingConvNet
from threegen.gen3.diehl_cook import DiehlCook as DiehlCook
from threegen.gen3.health import unhealthy_layers as unhealthy_layers
from threegen.gen3.kheradpisheh import Kheradpisheh2018 as Kheradpisheh2018
from threegen.gen3.mozafari import Mozafari2019 as Mozafari2019
from threegen.gen3.mozafari_2018 import Mozafari2018 as Mozafari2018
from threegen.gen3.networks import Record as Record
from threegen.gen3.networks import SpikingMLP as SpikingMLP
from threegen.gen3.ordered_conv import DecisionConv as DecisionConv
from threegen.gen3.ordered_conv import OrderedConv as OrderedConv
from threegen.gen3.plastic_layer import PlasticLayer as PlasticLayer
from threegen.gen3.sequential import SpikingSequential as SpikingSequential
from threegen.gen3.sequential import TimeDropout as TimeDropout
from threegen.gen3.spiking_graph import GraphLayer as GraphLayer
from threegen.gen3.spiking_graph import SpikingGraph as SpikingGraph
from threegen.gen3.spiking_graph import Wire as Wire

__all__ = [
    "AlexNet",
    "BoltzmannMachine",
    "ClassificationRBM",
    "ConvNet",
    "DBN",
    "DecisionConv",
    "DiehlCook",
    "GraphLayer",
    "Kheradpisheh2018",
    "LeNet1989",
    "LeNet5",
    "LeNet5Modern",
    "MLP",
    "Mozafari2018",
    "Mozafari2019",
    "Neocognitron1980",
    "Neocognitron1988",
    "Neocognitron2003",
    "OrderedConv",
    "Perceptron",
    "PlasticLayer",
    "RBM",
    "Record",
    "RecurrentNet",
    "ResNet",
    "SigmoidNeuron",
    "SoftLIF",
    "SoftmaxOnRBM",
    "SpikingConvNet",
    "SpikingGraph",
    "SpikingMLP",
    "SpikingSequential",
    "StepReLU",
    "TimeDropout",
    "TwoLayerNet",
    "VGG",
    "Wire",
    "unhealthy_layers",
]
